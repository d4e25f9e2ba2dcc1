"""What we rely on: names of libraries that they may change without a word, where they stand, and no others.

Each is here because no documented name does the same. When one goes, the test says which file to mend.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = REPOSITORY / "vae_experiments"
RELIED_ON = {
    "hydra._internal.utils.get_args_parser": ["cli/entry.py"],
    "hydra._internal.hydra.ConfigLoaderImpl": ["cli/trusted_config.py"],
    "hydra._internal.config_loader_impl.ConfigLoaderImpl": ["cli/trusted_config.py"],
    "hydra._internal.config_loader_impl.ConfigLoaderImpl._process_config_searchpath": [
        "cli/trusted_config.py"
    ],
    "hydra._internal.config_repository.ConfigRepository.initialize_sources": ["cli/trusted_config.py"],
    "hydra._internal.core_plugins.file_config_source.FileConfigSource._normalize_file_name": [
        "cli/trusted_config.py"
    ],
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper.split_arguments": ["cli/multirun.py"],
    "hydra.plugins.config_source.ConfigSource._get_header_dict": ["cli/trusted_config.py"],
    "hydra.core.config_store.ConfigStore.repo": ["cli/hydra_setup.py", "cli/trusted_config.py"],
    "hydra.core.utils._save_config": ["cli/hydra_setup.py"],
    "hydra.core.override_parser.overrides_parser.create_functions": ["cli/overrides.py"],
    "omegaconf._utils.get_yaml_loader": ["yaml_files.py"],
    "omegaconf.DictConfig._get_node": ["cli/trusted_config.py"],
    "omegaconf.ListConfig._get_node": ["cli/trusted_config.py"],
    "omegaconf.base.Node._maybe_dereference_node": ["cli/trusted_config.py"],
    "omegaconf.base.Node._value": ["cli/trusted_config.py"],
    "omegaconf.resolvers.oc.env": ["cli/trusted_config.py"],
    "torch.cpu._is_amx_tile_supported": ["runtime/device.py", "training/train_step.py"],
    "torch.utils._python_dispatch.TorchDispatchMode": ["models/execution.py"],
    "torch.utils._pytree.tree_leaves": ["models/execution.py"],
    "diffusers.models.autoencoders.autoencoder_kl_wan.patchify": ["models/temporal/streaming.py"],
    "diffusers.models.autoencoders.autoencoder_kl_wan.unpatchify": ["models/temporal/streaming.py"],
    "diffusers.models.autoencoders.autoencoder_kl_wan.WanCausalConv3d": ["training/networks/build.py"],
    "diffusers.models.autoencoders.autoencoder_kl_wan.WanResidualBlock": ["training/networks/build.py"],
    "diffusers.AutoencoderVidTok._set_first_chunk": ["models/temporal/streaming.py"],
    "diffusers.AutoencoderVidTok._set_cache_offset": ["models/temporal/streaming.py"],
    "diffusers.AutoencoderKLKVAEVideo._make_encoder_cache": ["models/temporal/streaming.py"],
    "diffusers.AutoencoderKLKVAEVideo._make_decoder_cache": ["models/temporal/streaming.py"],
    "huggingface_hub.utils.validate_repo_id": ["models/hub/repo.py"],
    "gradio.Blocks.fns": ["web/ui/page.py"],
    "gradio.Blocks.has_launched": ["web/server/application.py"],
    "gradio.Blocks.state_session_capacity": ["web/server/application.py"],
}
"""Each name, and the files that use it."""
DOCUMENTED = {"_exit", "_replace"}
"""Of ``os`` and of named tuples: private only by their look."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def has(name: str) -> bool:
    """Whether a library has a name: in a module, in a class, or set by the constructor of one."""
    first, *parts = name.split(".")
    found: Any = pytest.importorskip(first) if first == "gradio" else importlib.import_module(first)
    module = first
    for part in parts:
        module += f".{part}"
        if hasattr(found, part):
            found = getattr(found, part)
        elif isinstance(found, type):
            constructors = [
                inspect.unwrap(vars(base)["__init__"])
                for base in found.__mro__[:-1]
                if "__init__" in vars(base)
            ]
            return any(part in constructor.__code__.co_names for constructor in constructors)
        else:
            found = importlib.import_module(module)
    return True


@pytest.mark.parametrize("name", RELIED_ON)
def test_each_library_still_has_the_name_that_we_rely_on(name: str) -> None:
    library, files = name.partition(".")[0], ", ".join(RELIED_ON[name])
    try:
        there = has(name)
    except ModuleNotFoundError:
        there = False
    assert there, f"{library} no longer has {name}, which {files} relies on"


@pytest.mark.parametrize("name", RELIED_ON)
def test_what_is_listed_is_used_where_the_list_says(name: str) -> None:
    for file in RELIED_ON[name]:
        assert name.rpartition(".")[2] in (PACKAGE / file).read_text(), file


def names_of(tree: ast.AST) -> Iterator[str]:
    """Yield every attribute and method by its own name, and every import of a library's by its whole one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_names(trees: list[ast.Module]) -> set[str]:
    """Return the private names that the package itself gives to functions, fields and variables."""
    names: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            is_of_self = isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls")
            if isinstance(node, ast.Name) or is_of_self:
                names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return names


def test_no_other_private_name_of_a_library_is_used() -> None:
    trees = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
    listed = {part for name in RELIED_ON for part in name.split(".")} | DOCUMENTED
    own = own_names([*trees.values()])
    strange = sorted(
        (path.relative_to(PACKAGE).as_posix(), name)
        for path, tree in trees.items()
        for name in names_of(tree)
        if not name.startswith("vae_experiments.")
        for part in name.split(".")
        if is_private(part) and part not in listed | own
    )
    assert strange == [], "add it to RELIED_ON, or do without"
