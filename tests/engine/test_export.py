"""`millrace export`: PyTorch to ONNX with an open batch, or how to install PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from millrace.app.cli import app
from millrace.app.export import ExportOptions, export
from millrace.errors import ConfigError, ModelError

NETWORK = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.Linear(4, 5)
    def forward(self, x):
        f = self.conv(x).relu()
        return self.head(f.mean((2, 3))), f
"""


def test_a_missing_model_is_named_first() -> None:
    result = CliRunner().invoke(app, ["export", "none.pt"])
    assert isinstance(result.exception, ModelError) and str(result.exception) == "no such model: none.pt"
    assert CliRunner().invoke(app, ["export", "none.pt", "--shape", "640"]).exit_code == 2


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed")
def test_without_pytorch_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"")
    with pytest.raises(
        ConfigError, match=r"needs PyTorch, which is not installed; .*: pip install 'millrace\[torch\]'"
    ):
        export(ExportOptions(tmp_path / "net.pt", tmp_path / "net.onnx", (3, 32, 32)))


@pytest.mark.parametrize("form", ["module", "checkpoint", "torchscript", "weights"])
def test_every_form_gives_the_same_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, an optional extra, is not installed")
    import onnxruntime

    (tmp_path / "exported_net.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    import exported_net  # type: ignore[import-not-found]

    torch.manual_seed(0)
    net = exported_net.Net().eval()
    path, out, module = tmp_path / "net.pt", tmp_path / "net.onnx", None
    if form == "torchscript":
        torch.jit.trace(net, torch.rand(1, 3, 16, 16)).save(str(path))
    elif form == "weights":
        torch.save(net.state_dict(), path)
        with pytest.raises(ModelError, match="it holds weights only; name what makes the network with --module"):
            export(ExportOptions(path, out, (3, 16, 16)))
        module = f"{tmp_path / 'exported_net.py'}:Net"
    else:
        torch.save(net if form == "module" else {"epoch": 1, "model": net}, path)
    lines = export(ExportOptions(path, out, (3, 16, 16), output_names=("logits",), module=module))
    assert lines[1] == "  input images: Nx3x16x16"
    picture = np.random.default_rng(0).random((3, 3, 16, 16), np.float32)
    found = onnxruntime.InferenceSession(str(out)).run(None, {"images": picture})
    assert len(found) == 1 and found[0].shape == (3, 5)
    assert np.allclose(found[0], net(torch.from_numpy(picture))[0].detach().numpy(), atol=1e-5)


def test_what_is_no_network_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, an optional extra, is not installed")
    path = tmp_path / "net.pt"
    path.write_bytes(b"no")
    with pytest.raises(ModelError, match=r"net.pt: not a PyTorch file"):
        export(ExportOptions(path, tmp_path / "net.onnx", (3, 16, 16)))
    torch.save({"a": 1}, path)
    with pytest.raises(ModelError, match="it holds neither a network nor weights, but dict"):
        export(ExportOptions(path, tmp_path / "net.onnx", (3, 16, 16)))
