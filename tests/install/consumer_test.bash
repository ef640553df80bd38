# To be sourced by the scripts that run a consumer, with its arguments
# FAKE_NERDCTL TREE PROGRAM. Makes a folder, $work, with a context to build,
# and puts fake_nerdctl on PATH as nerdctl.
set -euo pipefail
shopt -s inherit_errexit

fake_nerdctl=$1 tree=$2 program=$3
work=$(mktemp -d)
daemon=
clean_up() {
  if [[ $daemon ]]; then
    kill "$daemon"
    wait "$daemon" || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT

mkdir "$work/bin" "$work/context"
ln -s "$fake_nerdctl" "$work/bin/nerdctl"
export PATH=$work/bin:$PATH
printf 'stdout built %s\\n\nstderr step %s\\n\n' "$$" "$$" >"$work/context/fake.txt"

fail() {
  echo "$0: $*" >&2
  exit 1
}

# start_daemon: starts the installed daemon; it is ready when this returns, on $address.
start_daemon() {
  address=unix://$work/cb.sock
  mkfifo "$work/log"
  "$tree/bin/container-builderd" --listen="$address" --state_dir="$work/state" 2>"$work/log" &
  daemon=$!
  local line
  # Kept open, so that the daemon can write on.
  exec {log}<"$work/log"
  while read -r -t 60 -u "$log" line; do
    echo "$line" >&2
    [[ $line != *'ready on'* ]] || return 0
  done
  fail 'the daemon did not start'
}

# expect_build COMMAND [ARGS...]: it must print what nerdctl prints in the context, each to its own stream; on
# standard error, more may follow.
expect_build() {
  "$@" >"$work/stdout" 2>"$work/stderr" || {
    cat "$work/stderr" >&2
    fail "failed: $*"
  }
  [[ $(cat "$work/stdout") == "built $$" ]] || fail "standard output is: $(cat "$work/stdout")"
  [[ $(head -n 1 "$work/stderr") == "step $$" ]] || fail "standard error is: $(cat "$work/stderr")"
}

# needed FILE: the shared libraries that it was linked with, one a line.
needed() {
  readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}
