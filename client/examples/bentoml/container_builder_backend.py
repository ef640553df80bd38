"""A backend for BentoML that builds with ContainerBuilder, here or on another machine.

    import container_builder_backend
    container_builder_backend.register("unix:///run/containerbuilder.sock")
    bentoml.container.build("my_service:latest", backend="container-builder")

Its arguments are those of BentoML's own nerdctl backend: the program container-builder takes nerdctl's flags. It has
to be on PATH, or named by `binary`.
"""

import subprocess

from bentoml._internal.container import nerdctl
from bentoml.container import register_backend


def register(address: str, name: str = "container-builder", binary: str = "container-builder", options=()) -> None:
    """Registers the backend. `options` go to `container-builder build`, before BentoML's own."""
    environment = {"CONTAINER_BUILDER_ADDRESS": address}

    def health() -> bool:
        # The service's own check: nerdctl, BuildKit and containerd are needed on its machine alone.
        return subprocess.run([binary, f"--address={address}", "health"], stdout=subprocess.DEVNULL).returncode == 0

    register_backend(
        name,
        binary=binary,
        build_cmd=["build", *options],
        buildkit_support=True,
        health=health,
        construct_build_args=nerdctl.construct_build_args,
        env=environment,
    )
