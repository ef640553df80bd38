#include "completion_scripts.h"

namespace containerbuilder::cli {
namespace {

constexpr char kBash[] = R"script(# bash completion for container-builder
_container_builder() {
  # Bash parts words at `=` and `:` as well; the program does not.
  local words=() rest=${COMP_LINE:0:COMP_POINT} word next i
  for ((i = 0; i <= COMP_CWORD; ++i)); do
    word=${rest#"${rest%%[![:space:]]*}"}
    next=
    ((i == COMP_CWORD)) || next=${word#"${COMP_WORDS[i]}"}
    if ((i > 0)) && [[ $word == "$rest" ]]; then
      words[-1]+=${word%"$next"}
    else
      words+=("${word%"$next"}")
    fi
    rest=$next
  done
  local current=${words[-1]} breaks=${COMP_WORDBREAKS//[^=:]/} head= path
  # What is replaced is what follows the last of them.
  [[ -z $breaks ]] || head=${current%"${current##*["$breaks"]}"}
  path=${current##*=}

  COMPREPLY=()
  while IFS=$'\t' read -r word _; do
    case $word in
      :files | :folders)
        compopt -o filenames
        while IFS= read -r word; do
          word=${current%"$path"}$word
          COMPREPLY+=("${word#"$head"}")
        done < <(if [[ $word == :files ]]; then compgen -f -- "$path"; else compgen -d -- "$path"; fi)
        ;;
      *) COMPREPLY+=("${word#"$head"}") ;;
    esac
  done < <(container-builder __complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _container_builder container-builder
)script";

constexpr char kZsh[] = R"script(#compdef container-builder
_container-builder() {
  local line
  local -a described
  for line in "${(@f)$(container-builder __complete -- \
      "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
    case $line in
      '') ;;
      :files) compset -P '*='; _files ;;
      :folders) _files -/ ;;
      *) described+=("${${line%%$'\t'*}//:/\\:}${${(M)line%%$'\t'*}:+:${line#*$'\t'}}") ;;
    esac
  done
  (( $#described )) && _describe -V container-builder described
}
if [[ $funcstack[1] == _container-builder ]]; then
  _container-builder "$@"
else
  compdef _container-builder container-builder
fi
)script";

constexpr char kFish[] = R"script(# fish completion for container-builder
function __container_builder_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -e words[1]
    for line in (container-builder __complete -- $words "$current" 2>/dev/null)
        switch $line
            case :files
                set -l head (string replace -r '[^=]*$' '' -- "$current")
                for path in (__fish_complete_path (string replace -r '^.*=' '' -- "$current"))
                    echo $head$path
                end
            case :folders
                __fish_complete_directories "$current" ''
            case '*'
                echo $line
        end
    end
end
complete -c container-builder -f -k -a '(__container_builder_complete)'
)script";

constexpr CompletionScript kScripts[] = {
    {"bash", kBash}, {"zsh", kZsh}, {"fish", kFish}};

}  // namespace

std::span<const CompletionScript> CompletionScripts() { return kScripts; }

}  // namespace containerbuilder::cli
