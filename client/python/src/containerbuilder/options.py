"""How the options of `nerdctl build` are written in Python."""

from collections.abc import Mapping, Sequence

from containerbuilder.v1 import container_builder_pb2 as pb

#: True is a bare flag; False and None leave the option away. A text, or each of several, is one flag with that value.
#: A mapping is for build_arg, label, cache_from, cache_to, output and secret; see BuildOptions in the proto.
Value = str | bool | Sequence[str] | Mapping[str, str] | None

_PARAMETERS = ("build_arg", "cache_from", "cache_to", "label", "output", "secret")


def build_options(context_path: str = "", **options: Value) -> pb.BuildOptions:
    """The options of `nerdctl build`, by their long names: `build_options("/src", tag="app:dev", no_cache=True)`.

    `context_path` is a path on the service's machine, or one inside an uploaded context.
    """
    result = pb.BuildOptions(context_path=context_path)
    for name, value in options.items():
        if value is None or value is False:
            continue
        if name in _PARAMETERS:
            getattr(result, name).CopyFrom(_option_value(value))
        else:
            result.options.add(name=name, value=_option_value(value))
    return result


def _option_value(value: str | bool | Sequence[str] | Mapping[str, str]) -> pb.OptionValue:
    if isinstance(value, bool):
        return pb.OptionValue(flag=value)
    if isinstance(value, Mapping):
        return pb.OptionValue(pairs=pb.PairList(pairs=[pb.Pair(key=k, value=v) for k, v in value.items()]))
    # Not as OptionValue.text, which the service would take for a path of its own where one of that name is there.
    return pb.OptionValue(values=pb.ValueList(values=[value] if isinstance(value, str) else value))
