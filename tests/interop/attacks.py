"""What a stranger may try, and how it is refused: the table that refusals_test.py sends to a daemon.

Threats are numbered as in service/THREAT_MODEL.md. Paths: {root} may be read, {out} may be written, {outside} may
neither, {context} is a context in {root}, {folder} has all of them and the daemon's state.
"""

from dataclasses import dataclass, field

OPTION = "spec.options.options[0]"
CONTEXT = "spec.options.context_path"
TAG = "app:1"


class Link(str):
    """In place of a file's text: where a symbolic link leads."""


@dataclass(frozen=True)
class Attack:
    threat: str
    name: str
    # Of BuildOptions: the six parameters, else options; or of BuildSpec, with "spec." in front.
    values: dict
    reason: str
    # The field that the answer names, or its beginning.
    where: str = OPTION
    # The setting that would allow it; empty where none would.
    setting: str = ""
    code: str = "PERMISSION_DENIED"
    # Whether it is sent to the daemon with all options allowed, whose own rules are tried then.
    allowed: bool = True
    # Files to be in the context, by name.
    files: dict = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.threat}-{self.name}"


ATTACKS: list[Attack] = []


def add(threat, name, values, reason="OPTION_NOT_ALLOWED", where=OPTION, setting="", code=None, **more):
    if code is None:
        code = "INVALID_ARGUMENT" if reason in ("OPTION_INVALID", "OPTION_UNKNOWN", "CONTEXT_RELATIVE") else (
            "RESOURCE_EXHAUSTED" if reason == "TOO_LARGE" else "PERMISSION_DENIED"
        )
    ATTACKS.append(Attack(threat, name, values, reason, where, setting, code, **more))


def invalid(threat, name, values, where=OPTION, **more):
    add(threat, name, values, "OPTION_INVALID", where, **more)


def outside(threat, name, values, where=OPTION, setting="--read_roots", **more):
    add(threat, name, values, "PATH_NOT_ALLOWED", where, setting, **more)


# --- S1: the context ---------------------------------------------------------------------------------------------

for _name, _path, _reason in [
    ("a flag", "--output=x", "OPTION_INVALID"),
    ("a dash", "-", "OPTION_INVALID"),
    ("a short flag with its value", "-o/etc/x", "OPTION_INVALID"),
    ("the end of flags", "--", "OPTION_INVALID"),
    ("a Git URL", "git://example.test/x", "OPTION_INVALID"),
    ("a URL", "https://example.test/x.git", "OPTION_INVALID"),
    ("a scheme", "a://b", "OPTION_INVALID"),
    ("an absolute scheme", "/a://b", "OPTION_INVALID"),
    ("relative", "context", "CONTEXT_RELATIVE"),
    ("a user's home", "~root", "CONTEXT_RELATIVE"),
    ("NUL", "/a\0b", "OPTION_INVALID"),
]:
    add("S1", f"context is {_name}", {"context": _path}, _reason, CONTEXT)
for _name, _path in [
    ("the root of all", "/"),
    ("two slashes", "//"),
    ("/etc", "/etc"),
    ("/proc", "/proc/self/root"),
    ("a descriptor", "/proc/self/fd/0"),
    ("the daemon's folder", ""),
    ("the daemon's folder by a dot", "."),
    ("missing", "/nonexistent"),
    ("outside", "{outside}"),
    ("missing outside", "{outside}/missing"),
    ("outside by ..", "{root}/../outside"),
    ("outside by .. behind", "{context}/../../outside"),
    ("back in from outside", "{outside}/../root/context"),
    ("out and in again", "{root}/../root/context"),
    ("a link out", "{root}/link-out"),
    ("a relative link out", "{root}/link-up"),
    ("a chain of links out", "{root}/link-chain"),
    ("behind a link out", "{root}/link-out/sub"),
    ("back through a link out", "{root}/link-out/../root/context"),
    ("beside the root", "{root}-x"),
    ("above the root", "{folder}"),
    ("the state folder", "{state}"),
    ("a build's folder", "{state}/builds"),
    ("too long", "/" + "a" * 5000),
]:
    outside("S1", f"context is {_name}", {"context": _path}, CONTEXT)
outside("S1", "context with a socket", {"context": "{root}/with-socket"}, CONTEXT, "")
outside("S1", "context with a pipe", {"context": "{root}/with-pipe"}, CONTEXT, "")
add("S1", "context that is too large", {"context": "{root}/large"}, "TOO_LARGE", CONTEXT, "--max_staged_bytes")
add("S1", "context with a hole of a terabyte", {"context": "{root}/sparse"}, "TOO_LARGE", CONTEXT, "--max_staged_bytes")
add("S1", "context with too many files", {"context": "{root}/many"}, "TOO_LARGE", CONTEXT, "--max_staged_files")
add("S1", "context that is too deep", {"context": "{root}/deep"}, "TOO_LARGE", CONTEXT)

# --- S2: outputs -------------------------------------------------------------------------------------------------

OUTPUT = "spec.options.output"
for _name, _value in [
    ("a bare path", "{outside}/x"),
    ("local", "type=local,dest={outside}/x"),
    ("quoted", '"type=docker","dest={outside}/x"'),
    ("quoted in part", 'type=local,"dest={outside}/x"'),
    ("in upper case", "type=docker,DEST={outside}/x"),
    ("tar", "type=tar,dest={outside}/x"),
    ("oci", "type=oci,dest={outside}/x"),
    ("oci as a folder", "type=oci,tar=false,dest={outside}/x"),
    ("relative", "type=local,dest=../../outside/x"),
    ("by ..", "type=local,dest={out}/../outside/x"),
    ("out and in again", "type=local,dest={out}/../out/x"),
    ("by a link", "type=local,dest={out}/link-out/x"),
    ("by a link to a file", "type=tar,dest={out}/link-file"),
    ("where it may read only", "type=local,dest={root}/x"),
    ("the state folder", "type=local,dest={state}/x"),
    ("the root of all", "type=local,dest=/"),
    ("/proc", "type=tar,dest=/proc/self/mem"),
    ("a file in place of the root", "type=tar,dest={out}"),
]:
    outside("S2", f"output to {_name}", {"output": [_value]}, OUTPUT, "--write_roots")
for _name, _value, _setting in [
    ("archive on standard output", "type=tar", "--write_roots"),
    ("archive to a dash", "type=docker,dest=-", "--write_roots"),
    ("local with no place", "type=local", "--write_roots"),
    ("local with an empty place", "type=local,dest=", "--write_roots"),
    ("unknown type", "type=registry,name=app", ""),
    ("type in upper case", "type=LOCAL,dest={out}/x", ""),
    ("image with a place", "type=image,dest={out}/x", ""),
    ("unknown attribute", "type=local,dest={out}/x,mode=delete", ""),
    ("annotation", "type=image,annotation.containerd.io/restart.loguri=binary:///x", ""),
    ("credentials by attribute", "type=image,registry.insecure=true", ""),
    ("push", "type=image,name=app,push=true", "--allowed_registries"),
    ("push with an empty yes", "type=image,name=app,push=", "--allowed_registries"),
    ("push by digest", "type=image,name=app,push-by-digest=true", "--allowed_registries"),
    ("push elsewhere", "type=image,name=evil.test/x,push=true", "--allowed_registries"),
    ("push to one of two", '"name=registry.test:5000/x,evil.test/x",type=image,push=1', "--allowed_registries"),
    ("push in upper case", "type=image,name=evil.test/x,PUSH=true", "--allowed_registries"),
    ("name of another registry", "type=image,name=evil.test/x", "--allowed_registries"),
    ("name that is not allowed", "type=image,name=other", "--allowed_tags"),
]:
    add("S2", f"output: {_name}", {"output": [_value]}, where=OUTPUT, setting=_setting)
for _name, _value in [
    ("two types", "type=image,type=docker,dest={out}/x"),
    ("two places", "type=local,dest={out}/x,dest={outside}/x"),
    ("two places in two cases", "type=local,dest={out}/x,Dest={outside}/x"),
    ("type= in upper case alone", "TYPE=docker,DEST={outside}/x"),
    ("no attribute", "type=local,{outside}/x"),
    ("a lone quote", 'type=local,"dest={out}/x'),
    ("a quote inside", 'type=local,dest={out}/"x"'),
    ("a blank behind a quote", '"type=local" ,dest={outside}/x'),
    ("a newline", "type=local,dest={out}/x\n"),
    ("a carriage return", "type=local,dest={out}/x\r\ntype=tar"),
    ("a name with a quote", 'type=image,"name=a"",push=true"'),
    ("push with no name", "type=image,push=true"),
]:
    invalid("S2", f"output: {_name}", {"output": [_value]}, OUTPUT)
invalid("S2", "two outputs", {"output": ["type=local,dest={out}/a", "type=local,dest={out}/b"]}, OUTPUT)
add("S2", "output by default", {"output": ["type=image"]}, where=OUTPUT, setting="--allowed_options", allowed=False)

# --- S3: values that become something else -----------------------------------------------------------------------

for _name, _tag in [
    ("a comma", "a,b"), ("a quote", 'a"b'), ("a newline", "a\nb"), ("an equals sign", "a=b"), ("a flag", "--output=x"),
    ("a short flag", "-o"), ("a digest", "a@sha256:" + "0" * 64), ("upper case", "App"), ("a blank", "a b"),
    ("..", "../a"), ("a URL", "https://a/b"), ("a scheme", "ipfs://a"), ("an attribute", "a,push=true"),
    ("a megabyte", "a" * 100_000), ("nothing", ""),
]:  # fmt: skip
    invalid("S3", f"tag with {_name}", {"tag": [_tag]}, OPTION)
add("S3", "tag of another registry", {"tag": ["evil.test/app"]}, setting="--allowed_registries")
add("S3", "tag of a registry with another port", {"tag": ["registry.test:5001/x"]}, setting="--allowed_registries")
add("S3", "tag that is not allowed", {"tag": ["alpine:latest"]}, setting="--allowed_tags")
add("S3", "tag that is not allowed, in full", {"tag": ["docker.io/library/alpine"]}, setting="--allowed_tags")
add("S3", "second tag", {"tag": [TAG, "evil.test/app"]}, setting="--allowed_registries")
for _name, _platform in [
    ("a quote", 'linux/amd64,"x'), ("a newline", "linux\namd64"), ("an option", "linux/amd64,--x"), ("a path", "../x"),
    ("an equals sign", "linux=amd64"), ("four parts", "a/b/c/d"), ("nothing", ""), ("a blank", "linux amd64"),
]:  # fmt: skip
    # A dash is part of names: only what pflag would split or unquote matters.
    if _name not in ("an option",):
        invalid("S3", f"platform with {_name}", {"platform": [_platform]})
for _name, _target in [("a comma", "a,b"), ("a newline", "a\n"), ("an equals sign", "a=b"), ("a blank", "a b")]:
    invalid("S3", f"target with {_name}", {"target": [_target]})
invalid("S3", "label with NUL", {"label": ["a=b\0"]}, "spec.options.label")
invalid("S3", "label with a newline in its key", {"label": ["a\nb=c"]}, "spec.options.label")
invalid("S3", "build_arg with a newline in its key", {"build_arg": ["a\nb=c"]}, "spec.options.build_arg")

# --- S4: build arguments -----------------------------------------------------------------------------------------

BUILD_ARG = "spec.options.build_arg"
for _name, _value in [("a bare key", ["AWS_SECRET_ACCESS_KEY"]), ("a bare key of two", ["A=1", "HOME"]), ("no key", ["=x"]),
                      ("nothing", [""])]:  # fmt: skip
    add("S4", f"build_arg is {_name}", {"build_arg": _value}, where=BUILD_ARG)
invalid("S4", "build_arg of 3 MiB", {"build_arg": ["A=" + "x" * (3 << 20)]}, BUILD_ARG)
invalid("S4", "100,000 build_args", {"build_arg": [f"A{i}=" + "x" * 40 for i in range(100_000)]}, "spec.options")

for _value in ["1", "true", "0", ""]:
    add("S4", f"build_arg BUILDKIT_INLINE_CACHE={_value} by default",
        {"build_arg": [f"BUILDKIT_INLINE_CACHE={_value}"]}, where=BUILD_ARG, setting="--allowed_options",
        allowed=False)  # fmt: skip
for _name in ["SBOM", "PROVENANCE", "sbom", "X"]:
    add("S4", f"build_arg BUILDKIT_ATTEST_{_name} by default", {"build_arg": [f"BUILDKIT_ATTEST_{_name}=generator=evil.test/x"]},
        where=BUILD_ARG, setting="--allowed_options", allowed=False)  # fmt: skip
for _name, _value, _setting in [
    ("SBOM", "generator=evil.test/x", "--allowed_registries"), ("sbom", "generator=evil.test/x", "--allowed_registries"),
    ("SBOM", '"generator=evil.test/x"', "--allowed_registries"), ("Provenance", "mode=max,x=y", ""), ("X", "", ""),
    ("SBOM", "type=provenance", ""),
]:  # fmt: skip
    add("S4", f"build_arg BUILDKIT_ATTEST_{_name}={_value}", {"build_arg": [f"BUILDKIT_ATTEST_{_name}={_value}"]},
        where=BUILD_ARG, setting=_setting)  # fmt: skip
for _name, _value in [("two generators", "generator=registry.test:5000/x,generator=evil.test/x"), ("a lone quote", 'a="b'),
                      ("a newline", "generator=registry.test:5000/x\n"), ("a bare word", "a b")]:  # fmt: skip
    invalid("S4", f"build_arg BUILDKIT_ATTEST_SBOM with {_name}", {"build_arg": ["BUILDKIT_ATTEST_SBOM=" + _value]}, BUILD_ARG)
for _name in ["CACHE_MOUNT_NS", "GIT_ADVICE", "DISABLE_FILEOP", "", "SYNTAX2", "NEW"]:
    add("S4", f"build_arg BUILDKIT_{_name}", {"build_arg": ["A=b", f"BUILDKIT_{_name}=1"]}, where=BUILD_ARG)

# --- S5: frontends -----------------------------------------------------------------------------------------------

for _name, _value in [
    ("another image", "evil"), ("another registry", "evil.test/docker/dockerfile"), ("a look-alike", "docker/dockerfil"),
    ("a namespace of the same name", "evil/docker/dockerfile:1"), ("nothing", ""), ("a blank in front", " evil"),
    ("a localhost", "localhost:5000/docker/dockerfile"), ("another with a flag", "evil docker/dockerfile"),
]:  # fmt: skip
    add("S5", f"BUILDKIT_SYNTAX is {_name}", {"build_arg": ["BUILDKIT_SYNTAX=" + _value]}, where=BUILD_ARG,
        setting="--allowed_frontends")  # fmt: skip
for _name, _text in [
    ("#", "# syntax=evil\nFROM scratch"),
    ("# without a blank", "#syntax=evil"),
    ("# in upper case", "# SYNTAX = evil"),
    ("# behind another directive", "# escape=`\n# syntax=evil"),
    ("# behind one that is allowed", "# syntax=docker/dockerfile\n# syntax=evil"),
    ("# behind a directive of a blank", "# escape= \n# syntax=evil"),
    ("# behind a directive of a tab", "# check=\t\n# syntax=evil"),
    ("# behind a directive of a carriage return", "# escape=\r\r\n# syntax=evil"),
    ("# behind a directive that few know", "# a=b\n# syntax=evil"),
    ("//", "// syntax=evil"),
    ("JSON", '{"syntax": "evil"}'),
    ("JSON with an escape", '{"\\u0073yntax": "evil"}'),
    ("a byte order mark", "\ufeff# syntax=evil"),
    ("a byte order mark and JSON", '\ufeff{"syntax": "evil"}'),
    ("#!", "#!/usr/bin/env x\n# syntax=evil"),
    ("#! and //", "#!/usr/bin/env x\n// syntax=evil"),
    ("#! and JSON", '#!/x\n{"syntax": "evil"}'),
    ("a long #!", "#!" + "x" * 200_000 + "\n# syntax=evil"),
    ("a blank of Unicode", "#\u00a0syntax=evil"),
    ("a carriage return", "# syntax=evil\r\nFROM scratch"),
]:
    add("S5", f"Dockerfile with {_name}", {}, where=CONTEXT, setting="--allowed_frontends", files={"Dockerfile": _text})
    if _name in ("#", "//", "JSON"):
        add("S5", f"Containerfile with {_name}", {}, where=CONTEXT, setting="--allowed_frontends",
            files={"Dockerfile": None, "Containerfile": _text})  # fmt: skip
        add("S5", f"dockerfile with {_name}", {}, where=CONTEXT, setting="--allowed_frontends",
            files={"Dockerfile": None, "dockerfile": _text})  # fmt: skip
        add("S5", f"named file with {_name}", {"file": ["sub/x"]}, setting="--allowed_frontends", files={"sub/x": _text})
for _name, _text in [("#", "# syntax=evil\nFROM scratch"), ("//", "// syntax=evil"), ("JSON", '{"syntax": "evil"}')]:
    add("S5", f"Dockerfile by value with {_name}", {"spec.dockerfile": _text}, where="spec.dockerfile",
        setting="--allowed_frontends")  # fmt: skip
add("S5", "Dockerfile by value of 2 MiB", {"spec.dockerfile": "#" * (2 << 20)}, "TOO_LARGE", "spec.dockerfile")
invalid("S5", "Dockerfile by value and by name", {"spec.dockerfile": "FROM scratch", "file": ["Dockerfile"]})
invalid("S5", "ignore file by value alone", {"spec.dockerignore": "*"}, "spec.dockerignore")
add("S5", "Dockerfile of 2 MiB", {}, "TOO_LARGE", CONTEXT, files={"Dockerfile": "#" * (2 << 20)})
outside("S5", "Dockerfile that is a link out", {"context": "{root}/linked"}, CONTEXT, "")
for _name, _target in [("..", "sub/../evil"), ("what is missing and ..", "none/../evil"), ("a link", "link-file")]:
    outside("S5", f"Dockerfile that is a link by {_name}", {}, CONTEXT, "",
            files={"Dockerfile": Link(_target), "evil": "# syntax=evil"})  # fmt: skip

# --- S6: secrets -------------------------------------------------------------------------------------------------

SECRET = "spec.options.secret"
for _name, _value in [
    ("a file", "id=a,src=/etc/shadow"), ("a quoted file", 'id=a,"src=/etc/shadow"'), ("source", "id=a,source=/etc/shadow"),
    ("upper case", "ID=a,SRC=/etc/shadow"), ("by ..", "id=a,src={root}/../outside/canary"),
    ("a link", "id=a,src={root}/secret-link"), ("relative", "id=a,src=../../outside/canary"),
    ("the state folder", "id=a,src={state}/records.db"), ("type=file", "type=file,id=a,src=/etc/shadow"),
    ("missing", "id=a,src={root}/missing"), ("/proc", "id=a,src=/proc/self/environ"),
]:  # fmt: skip
    outside("S6", f"secret from {_name}", {"secret": [_value]}, SECRET)
for _name, _value in [
    ("a variable by its id", "id=HOME"), ("a variable", "id=a,env=AWS_SECRET_ACCESS_KEY"), ("an empty file", "id=a,src="),
    ("a variable by type", "type=env,id=a"), ("a variable by type and src", "type=env,id=a,src=HOME"),
    ("an unknown attribute", "id=a,src={root}/secret,x=y"),
]:  # fmt: skip
    add("S6", f"secret from {_name}", {"secret": [_value]}, where=SECRET)
for _name, _value in [
    ("a path for an id", "id=/etc/hostname,src={root}/secret"), ("a comma in its id", '"id=a,src=/etc/shadow"'),
    ("no id", "src={root}/secret"), ("two files", "id=a,src={root}/secret,src=/etc/shadow"),
    ("both spellings", "id=a,src={root}/secret,source=/etc/shadow"), ("no attribute", "HOME"),
    ("a long id", "id=" + "a" * 65 + ",src={root}/secret"), ("a quote", 'id=a,src="/etc/shadow"'),
]:  # fmt: skip
    invalid("S6", f"secret with {_name}", {"secret": [_value]}, SECRET)
outside("S6", "secret that is a folder", {"secret": ["id=a,src={context}"]}, SECRET, "")
outside("S6", "secret that is a pipe", {"secret": ["id=a,src={root}/with-pipe/pipe"]}, SECRET, "")
add("S6", "secret of 501 KiB", {"secret": ["id=a,src={root}/large-secret"]}, "TOO_LARGE", SECRET)
add("S6", "secret by default", {"secret": ["id=a,src={root}/secret"]}, where=SECRET, setting="--allowed_options",
    allowed=False)  # fmt: skip

# By value.
for _name, _id in [
    ("a path", "/etc/hostname"), ("an attribute", "a,src=/etc/shadow"), ("an equals sign", "a=b"), ("a quote", 'a"b'),
    ("a newline", "a\nb"), ("nothing", ""), ("65 letters", "a" * 65),
]:  # fmt: skip
    invalid("S6", f"secret by value: its id is {_name}", {"spec.secrets": [{"id": _id, "value": b"mine"}]},
            "spec.secrets[0].id")  # fmt: skip
invalid("S6", "secret by value: of 501 KiB", {"spec.secrets": [{"id": "a", "value": b"x" * 501 * 1024}]},
        "spec.secrets[0].value")  # fmt: skip
invalid("S6", "secrets by value: two of one id", {"spec.secrets": [{"id": "a"}, {"id": "a"}]}, "spec.secrets[1].id")
invalid("S6", "secrets by value: 101", {"spec.secrets": [{"id": str(i)} for i in range(101)]}, "spec.secrets")
invalid("S6", "secrets by value: more than 2 MiB",
        {"spec.secrets": [{"id": str(i), "value": b"x" * 450 * 1024} for i in range(5)]}, "spec.secrets")  # fmt: skip
invalid("S40", "secret by value: in the log as JSON", {"spec.secrets": [{"id": "a", "value": b"mine"}],
                                                       "progress": ["rawjson"]})  # fmt: skip
for _name, _part, _value in [
    ("a URL", "host", "https://registry.test"), ("a path", "host", "registry.test/x"), ("no host", "host", ""),
    ("a flag", "host", "--x"), ("a quote", "host", 'a"b'), ("no user", "username", ""), ("a colon", "username", "a:b"),
    ("a newline", "username", "a\nb"), ("no password", "password", ""), ("a NUL", "password", "a\0b"),
    ("64 KiB", "password", "x" * 65536),
]:  # fmt: skip
    _auth = {"host": "registry.test", "username": "me", "password": "mine", _part: _value}
    invalid("S6", f"credentials: {_name}", {"spec.registry_auths": [_auth]}, f"spec.registry_auths[0].{_part}")
invalid("S6", "credentials: two of one registry", {"spec.registry_auths": [
    {"host": host, "username": "me", "password": "mine"} for host in ("docker.io", "index.docker.io")
]}, "spec.registry_auths[1].host")  # fmt: skip

# --- S7: agents --------------------------------------------------------------------------------------------------

for _name, _value in [
    ("a raw socket", "x=/run/containerd/containerd.sock,raw=true"), ("the default agent", "default"),
    ("a key", "default=/root/.ssh/id_rsa"), ("an allowed socket, raw", "x={root}/agent.sock,raw=true"),
    ("one of two", "x={root}/agent.sock,/root/.ssh/id_rsa"), ("a relative path", "x=agent.sock"),
    ("an empty path", "x="), ("an allowed one by ..", "x={root}/../root/agent.sock"), ("another id", "other"),
]:  # fmt: skip
    add("S7", f"ssh: {_name}", {"ssh": [_value]}, setting="--allowed_ssh")
invalid("S7", "ssh: no id", {"ssh": ["=/root/.ssh/id_rsa"]})
invalid("S7", "ssh: a newline", {"ssh": ["x\n"]})

# --- S8, S9: hosts and rights ------------------------------------------------------------------------------------

for _value in ["ssh://-oProxyCommand=x", "docker-container://x", "kube-pod://x", "tcp://169.254.169.254:80",
               "unix:///run/buildkit/buildkitd.sock", "unix:///run/allowed.sock/../x", ""]:  # fmt: skip
    add("S8", f"buildkit_host {_value}", {"buildkit_host": [_value]}, setting="--allowed_buildkit_hosts")
for _value in ["security.insecure", "network.host,security.insecure", "Network.Host", "device", ""]:
    add("S9", f"allow {_value}", {"allow": [_value]}, setting="--allowed_entitlements")
add("S9", "network of the host, of which one entitlement is allowed", {"network": ["host"]},
    setting="--allowed_entitlements")  # fmt: skip
add("S9", "network of the host by default", {"network": ["host"]}, setting="--allowed_networks", allowed=False)
for _value in ["container:x", "Host", "none ", "", "bridge"]:
    add("S9", f"network {_value}", {"network": [_value]}, setting="--allowed_networks")
for _value in ["tty", "auto", "", "quiet"]:
    add("S9", f"progress {_value}", {"progress": [_value]})

# --- S10: Dockerfiles --------------------------------------------------------------------------------------------

for _name, _value in [
    ("/etc/passwd", "/etc/passwd"), ("by ..", "../../outside/canary"), ("a link", "link-file"), ("outside", "{outside}/canary"),
    ("missing", "missing"), ("missing outside", "{outside}/missing"), ("/dev/stdin", "/dev/stdin"),
    ("a link to a folder", "../link-out/canary"), ("a way back in", "{outside}/link-in"),
    ("the state folder", "{state}/records.db"), ("a dash", "-"),
]:  # fmt: skip
    outside("S10", f"file: {_name}", {"file": [_value]})
for _name, _value in [
    ("a blank", "sub/x "), ("a blank of Unicode", "sub/x\u3000"), ("a folder's name that ends in a blank", "sub /x"),
]:  # fmt: skip
    invalid("S10", f"file: {_name} behind", {"file": [_value]},
            files={"sub/x": "# syntax=evil", "sub/x ": "", "sub/x\u3000": "", "sub /x": ""})  # fmt: skip
outside("S10", "file: the first of two", {"file": ["/etc/passwd", "Dockerfile"]})
outside("S10", "file: a folder", {"file": ["sub"]}, setting="", files={"sub/x": ""})

# --- S11: build contexts -----------------------------------------------------------------------------------------

for _name, _value in [("all", "x=/"), ("outside", "x={outside}"), ("a link", "x={root}/link-out"), ("..", "x=../../outside")]:
    outside("S11", f"build_context: {_name}", {"build_context": [_value]})
for _name, _value in [
    ("an OCI layout", "x=oci-layout:///var/lib"), ("a URL", "x=http://169.254.169.254/"), ("Git", "x=git@example.test:x"),
    ("a target", "x=target:y"), ("nothing", "x="), ("the context itself", "context={context}"),
    ("the Dockerfile's folder", "dockerfile={context}"),
]:  # fmt: skip
    add("S11", f"build_context: {_name}", {"build_context": [_value]})
add("S5", "build_context in the place of a frontend", {"build_context": ["front={context}"]})
add("S11", "build_context: an image elsewhere", {"build_context": ["x=docker-image://evil.test/x"]},
    setting="--allowed_registries")  # fmt: skip
add("S11", "build_context: an image of Docker Hub", {"build_context": ["x=docker-image://alpine"]},
    setting="--allowed_registries")  # fmt: skip
for _name, _value in [("no name", "={context}"), ("a bare path", "{context}"), ("a colon", "a:b={context}"),
                      ("a comma", "a,b={context}"), ("an image that is none", "x=docker-image://A B")]:  # fmt: skip
    invalid("S11", f"build_context: {_name}", {"build_context": [_value]})

# --- S12: caches -------------------------------------------------------------------------------------------------

FROM, TO = "spec.options.cache_from", "spec.options.cache_to"
outside("S12", "cache_from all", {"cache_from": ["type=local,src=/"]}, FROM)
outside("S12", "cache_from outside", {"cache_from": ['type=local,"src={outside}"']}, FROM)
outside("S12", "cache_from a link", {"cache_from": ["type=local,src={root}/link-out"]}, FROM)
outside("S12", "cache_from another build", {"cache_from": ["type=local,src={state}/builds"]}, FROM)
for _name in ["index", "lock", "blob", "blobs"]:
    outside("S12", f"cache_from a folder with a link for its {_name}",
            {"cache_from": [f"type=local,src={{root}}/cache-{_name}"]}, FROM, "")  # fmt: skip
outside("S12", "cache_to all", {"cache_to": ["type=local,dest=/"]}, TO, "--write_roots")
outside("S12", "cache_to outside", {"cache_to": ["type=local,DEST={outside}/x"]}, TO, "--write_roots")
outside("S12", "cache_to a link", {"cache_to": ["type=local,dest={out}/link-out"]}, TO, "--write_roots")
outside("S12", "cache_to where it may read", {"cache_to": ["type=local,dest={root}/x"]}, TO, "--write_roots")
for _name, _value, _setting in [
    ("S3", "type=s3,region=x,bucket=y,secret_access_key=z", ""), ("GitHub", "type=gha,url=http://169.254.169.254/,token=x", ""),
    ("Azure", "type=azblob,account_url=https://evil.test,name=x", ""), ("an unknown type", "type=x", ""),
    ("a registry", "type=registry,ref=evil.test/x", "--allowed_registries"), ("a bare name", "evil.test/x", "--allowed_registries"),
    ("Docker Hub", "user/app:cache", "--allowed_registries"), ("an address", "169.254.169.254/x", "--allowed_registries"),
    ("an insecure registry", "type=registry,ref=registry.test:5000/x,registry.insecure=true", ""),
]:  # fmt: skip
    add("S12", f"cache_from {_name}", {"cache_from": [_value]}, where=FROM, setting=_setting)
    add("S12", f"cache_to {_name}", {"cache_to": [_value]}, where=TO, setting=_setting)
for _name, _value in [("no src", "type=local"), ("two types", "type=inline,type=local,src=/"), ("no ref", "type=registry"),
                      ("a comma", "a,b"), ("TYPE", "TYPE=local,SRC=/"), ("two src", "type=local,src={root},src=/")]:  # fmt: skip
    invalid("S12", f"cache_from with {_name}", {"cache_from": [_value]}, FROM)

# --- S13: files that nerdctl writes, and its environment ---------------------------------------------------------

for _name, _value in [("outside", "{outside}/x"), ("a link", "{out}/link-file"), ("relative", "../../outside/x"),
                      ("where it may read", "{root}/x"), ("/dev", "/dev/null")]:  # fmt: skip
    outside("S13", f"iidfile: {_name}", {"iidfile": [_value]}, setting="--write_roots")
for _name in ["PATH", "HOME", "TMPDIR", "LD_PRELOAD", "LD_AUDIT", "NERDCTL_TOML", "BUILDKIT_HOST", "DOCKER_CONFIG",
              "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", "CONTAINERD_ADDRESS", "BUILDCTL_CONNECT_RETRIES_MAX", "GODEBUG",
              "SSLKEYLOGFILE", "", "a b", "A=B"]:  # fmt: skip
    add("S13", f"environment {_name}", {"spec.environment": {_name: "x"}}, where="spec.environment")
for _name in ["HTTP_PROXY", "AWS_PROFILE", "SSH_AUTH_SOCK"]:
    add("S13", f"environment {_name}", {"spec.environment": {_name: "x"}}, where="spec.environment",
        setting="--allowed_environment")  # fmt: skip
for _name, _value in [("SOURCE_DATE_EPOCH", "x"), ("TRACEPARENT", "00-x\n"), ("TRACESTATE", "a\n"), ("MY_NAME", "a\0")]:
    invalid("S13", f"environment {_name} with nonsense", {"spec.environment": {_name: _value}}, "spec.environment")

# --- S14, S15: labels, and options that are none -----------------------------------------------------------------

for _value in ["containerd.io/restart.loguri=binary:///x", "nerdctl/x=y", "io.kubernetes.pod.name=x", "containerd.io/x",
               "Nerdctl/extraHosts=x", "io.cri-containerd.kind=x"]:  # fmt: skip
    add("S14", f"label {_value}", {"label": [_value]}, where="spec.options.label")
for _name in ["--tag", "-t", "tag=x", "Tag", "", "tag ", "tag\n", "../tag", "build_arg", "output", "context-path"]:
    invalid("S15", f"option {_name!r}", {_name: ["x"]} if _name not in ("build_arg", "output") else {f"option.{_name}": ["x"]},
            f"{OPTION}.name")  # fmt: skip
for _name in ["namespace", "hosts_dir", "address", "cgroup_manager", "data_root", "debug", "t", "o", "help", "metadata_file"]:
    add("S15", f"option {_name}", {_name: ["x"]}, "OPTION_UNKNOWN", f"{OPTION}.name")
invalid("S15", "a switch with a value", {"no_cache": ["{outside}"]})
invalid("S15", "a value that is a switch", {"target": True})

# --- S16, S17, S21: uploaded contexts -------------------------------------------------------------------------------

DIGEST = "spec.context_digest"
NOBODYS = "sha256:" + "0" * 64
for _name, _digest in [
    ("a path", "../../state"), ("an absolute path", "/etc"), ("no algorithm", "0" * 64), ("another algorithm", "sha512:" + "0" * 128),
    ("upper case", "sha256:" + "A" * 64), ("a short one", "sha256:0"), ("a path in it", "sha256:../" + "0" * 61),
    ("a newline behind", NOBODYS + "\n"),
]:  # fmt: skip
    invalid("S21", f"context_digest is {_name}", {DIGEST: _digest}, DIGEST)
add("S21", "context_digest of what nobody sent", {DIGEST: NOBODYS, "context": ""}, "BLOBS_MISSING", "",
    code="FAILED_PRECONDITION")  # fmt: skip
for _name, _path in [("..", ".."), ("outside", "{outside}"), ("a way out", "a/../../x"), ("the root of all", "/"), ("NUL", "a\0b")]:
    invalid("S17", f"context in an upload: {_name}", {DIGEST: NOBODYS, "context": _path}, CONTEXT)
for _name, _path in [("a blank", "sub "), ("a blank of Unicode", "sub\u00a0"), ("a blank in the middle", "sub /x")]:
    invalid("S5", f"context in an upload: {_name} behind", {DIGEST: NOBODYS, "context": _path}, CONTEXT)
    invalid("S5", f"file in an upload: {_name} behind", {DIGEST: NOBODYS, "context": "", "file": [_path]})
for _name, _path in [("..", "../x"), ("outside", "{outside}/canary"), ("a way out", "a/../../x")]:
    outside("S17", f"file in an upload: {_name}", {DIGEST: NOBODYS, "context": "", "file": [_path]})

# --- S31: what nerdctl's newer options reach ---------------------------------------------------------------------

add("S31", "attest: a generator", {"attest": ["type=sbom,generator=evil.test/x"]}, setting="--allowed_registries")
add("S31", "sbom: a generator", {"sbom": ["generator=evil.test/x"]}, setting="--allowed_registries")
add("S31", "attest: unknown type", {"attest": ["type=x"]})
add("S31", "attest: unknown attribute", {"attest": ["type=provenance,filename=/x"]})
add("S31", "provenance: unknown attribute", {"provenance": ["builder-id=x,x=y"]})
invalid("S31", "add_host: nonsense", {"add_host": ["a b"]})
invalid("S31", "add_host: a newline", {"add_host": ["a:127.0.0.1\n"]})
for _name in ["cache_from", "cache_to"]:
    add("S31", f"{_name} by default", {_name: ["type=inline"]}, where=f"spec.options.{_name}",
        setting="--allowed_options", allowed=False)  # fmt: skip
for _name in ["allow", "attest", "add_host", "build_context", "buildkit_host", "iidfile", "provenance", "rm", "sbom", "ssh"]:
    add("S31", f"{_name} by default", {_name: True if _name == "rm" else ["x"]}, setting="--allowed_options", allowed=False)
