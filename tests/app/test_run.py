"""``millrace run``: small applications, each shown to behave as under plain Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .conftest import SRC, Cli

REAL_DEEPSTREAM = Path("/opt/nvidia/deepstream").exists()


def script(folder: Path, text: str, name: str = "app.py") -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return str(file)


def test_arguments_folder_and_name_are_the_scripts(cli: Cli, tmp_path: Path) -> None:
    script(tmp_path, "VALUE = 7\n", "application/helper.py")
    file = script(
        tmp_path,
        "import os, sys, helper\nprint(__name__, sys.argv[1:], helper.VALUE, os.getcwd(), __file__)\n",
        "application/app.py",
    )
    result = cli("run", file, "-i", "a", "--help", "--", "b")
    assert result.stdout.split("\n")[0] == f"__main__ ['-i', 'a', '--help', '--', 'b'] 7 {tmp_path} {file}"
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("statement", "code"), [("sys.exit(5)", 5), ("sys.exit()", 0), ("sys.exit('no')", 1), ("sys.exit(None)", 0)]
)
def test_exit_codes_pass_through(cli: Cli, tmp_path: Path, statement: str, code: int) -> None:
    assert cli("run", script(tmp_path, f"import sys\n{statement}\n")).returncode == code


def test_elements_and_pyds_are_in_place(cli: Cli, tmp_path: Path) -> None:
    text = (
        "import gi\ngi.require_version('Gst', '1.0')\nfrom gi.repository import Gst\nimport pyds\n"
        "Gst.init(None)\nprint(Gst.ElementFactory.make('nvstreammux', 'm') is not None, pyds.NvDsFrameMeta.__name__)\n"
    )
    result = cli("run", script(tmp_path, text))
    assert result.stdout.strip() == "True NvDsFrameMeta"
    assert result.stderr == ""


def test_missing_module_names_the_command_that_installs_it(cli: Cli, tmp_path: Path) -> None:
    result = cli("run", script(tmp_path, "import a_module_nobody_has.part\n"))
    assert result.returncode == 1
    assert result.stderr == (
        "millrace: error: No module named 'a_module_nobody_has', which app.py imports: "
        f"install it with: {sys.executable} -m pip install a_module_nobody_has\n"
    )


def test_missing_module_of_a_helper_names_the_helper(cli: Cli, tmp_path: Path) -> None:
    script(tmp_path, "def f():\n    import a_module_nobody_has\n", "utils/display.py")
    result = cli("run", script(tmp_path, "from utils.display import f\nf()\n"))
    assert f"which {Path('utils') / 'display.py'} imports" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_module_that_is_caught_is_the_scripts_business(cli: Cli, tmp_path: Path) -> None:
    text = "try:\n    import a_module_nobody_has\nexcept ImportError:\n    print('went on')\n"
    assert cli("run", script(tmp_path, text)).stdout == "went on\n"


def test_exceptions_show_the_scripts_traceback_only(cli: Cli, tmp_path: Path) -> None:
    result = cli("run", script(tmp_path, "def f():\n    return {}['key']\nf()\n"))
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "KeyError: 'key'" in result.stderr
    assert "return {}['key']" in result.stderr
    assert "launcher.py" not in result.stderr


def test_syntax_error(cli: Cli, tmp_path: Path) -> None:
    result = cli("run", script(tmp_path, "print('a'\n"))
    assert result.returncode == 1
    assert "SyntaxError" in result.stderr
    assert "launcher.py" not in result.stderr


def test_no_such_script(cli: Cli, tmp_path: Path) -> None:
    result = cli("run", "missing.py")
    assert (result.returncode, result.stderr) == (1, "millrace: error: no such script: missing.py\n")
    assert "name the application's Python file" in cli("run", str(tmp_path)).stderr


@pytest.mark.skipif(REAL_DEEPSTREAM, reason="DeepStream is installed here, its own paths are used")
def test_deepstream_paths_are_millraces(cli: Cli, tmp_path: Path) -> None:
    labels = tmp_path / "home" / "deepstream" / "samples" / "models" / "labels.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text("person\n")
    text = """
import configparser, os, sys
from pathlib import Path
sys.path.append('/opt/nvidia/deepstream/deepstream/lib')
for root in ('/opt/nvidia/deepstream/deepstream', '/opt/nvidia/deepstream/deepstream-6.2'):
    labels = root + '/samples/models/labels.txt'
    print(os.path.exists(labels), open(labels).read().strip(), os.listdir(os.path.dirname(labels)))
print(os.path.isdir('/opt/nvidia/deepstream/deepstream/lib'), Path('/opt/nvidia/deepstream/none').exists())
print(sys.argv[1])
"""
    result = cli("run", script(tmp_path, text), "file:///opt/nvidia/deepstream/deepstream/samples/streams/a.mp4")
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        *["True person ['labels.txt']"] * 2,
        "True False",
        f"file://{tmp_path}/home/deepstream/samples/streams/a.mp4",
    ]


@pytest.mark.skipif(REAL_DEEPSTREAM, reason="DeepStream is installed here, its own paths are used")
def test_elements_written_in_c_find_deepstreams_paths(cli: Cli, tmp_path: Path) -> None:
    text = """
import gi
gi.require_version('Gst', '1.0')
from gi.repository import Gst
Gst.init(None)
path = '/opt/nvidia/deepstream/deepstream/samples/streams/a.h264'
source = Gst.ElementFactory.make('filesrc')
source.set_property('location', path)
print(source.get_property('location'))
source.set_properties(location=path, blocksize=1000)
print(source.get_property('location'))
pipeline = Gst.parse_launch(f'uridecodebin name=d uri="file://{path}" filesrc name=f location={path} ! fakesink')
print(pipeline.get_by_name('d').get_property('uri'), pipeline.get_by_name('f').get_property('location'))
source.set_property('name', 'x')
print(source.get_property('name'))
"""
    result = cli("run", script(tmp_path, text))
    mapped = f"{tmp_path}/home/deepstream/samples/streams/a.h264"
    assert result.stdout.splitlines() == [mapped, mapped, f"file://{mapped} {mapped}", "x"], result.stderr


def test_cuda_answers_no_device_where_there_is_none(cli: Cli, tmp_path: Path) -> None:
    text = """
from cuda import cudart
from cuda import cuda
result, = cuda.cuInit(0)
if getattr(cuda, "__file__", None) is None:
    answer, _properties = cudart.cudaGetDeviceProperties(0)
    print(result == cuda.CUresult.CUDA_ERROR_NO_DEVICE, cuda.cuDeviceGetCount(), answer.name)
else:
    print("real")
"""
    result = cli("run", script(tmp_path, text))
    first = result.stdout.strip()
    assert first == "real" or first.startswith("True (<CUresult.CUDA_ERROR_NO_DEVICE: 100>, 0) cudaErrorNoDevice")


def test_cuda_has_its_new_names_too(cli: Cli, tmp_path: Path) -> None:
    text = """
import cuda.bindings.driver as driver
from cuda.bindings import runtime
print(len(driver.cuDeviceGetCount()), len(runtime.cudaGetDeviceCount()))
"""
    assert cli("run", script(tmp_path, text)).stdout == "2 2\n"


def test_a_cuda_without_the_old_names_gets_them(cli: Cli, tmp_path: Path) -> None:
    newer = tmp_path / "site" / "cuda" / "bindings"
    newer.mkdir(parents=True)
    (newer / "driver.py").write_text("def cuInit(flags):\n    return (100,)\n")
    (newer / "runtime.py").write_text("version = 13\n")
    text = "from cuda import cuda, cudart\nprint(cuda.cuInit(0), cudart.version)\n"
    started = cli("run", script(tmp_path, text), env={"PYTHONPATH": f"{SRC}:{tmp_path / 'site'}"})
    assert started.stdout == "(100,) 13\n"


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA GPU")
def test_a_module_for_gpus_says_what_to_use_instead(cli: Cli, tmp_path: Path) -> None:
    result = cli("run", script(tmp_path, "import cupy as cp\n"))
    assert result.returncode == 1 and "needs an NVIDIA GPU" in result.stderr and "get_nvds_buf_surface" in result.stderr


def test_a_script_can_pickle_its_own_classes(cli: Cli, tmp_path: Path) -> None:
    text = "import pickle\nclass A:\n    x = 1\nprint(pickle.loads(pickle.dumps(A())).x)\n"
    assert cli("run", script(tmp_path, text)).stdout == "1\n"


@pytest.mark.skipif(REAL_DEEPSTREAM, reason="DeepStream is installed here, its own libraries are used")
def test_libraries_that_applications_test_for_are_there_and_say_what_they_are(cli: Cli, tmp_path: Path) -> None:
    text = """
import ctypes, os
root = '/opt/nvidia/deepstream/deepstream'
for name in ('nvmultiobjecttracker', 'kafka_proto', 'amqp_proto', 'redis_proto', 'mqtt_proto', 'azure_proto'):
    assert os.path.isfile(f'{root}/lib/libnvds_{name}.so'), name
for name in ('IOU', 'NvDCF_perf', 'NvDCF_accuracy', 'NvSORT', 'NvDeepSORT'):
    assert 'no effect' in open(f'{root}/samples/configs/deepstream-app/config_tracker_{name}.yml').read()
for load in (ctypes.CDLL, ctypes.cdll.LoadLibrary):
    try:
        load(root + '/lib/libnvds_kafka_proto.so')
    except OSError as error:
        print(error)
print(ctypes.CDLL(None).getpid() == os.getpid())
"""
    result = cli("run", script(tmp_path, text))
    message, again, works = result.stdout.splitlines()
    assert message == again and "/lib/libnvds_kafka_proto.so: " in message and "placeholder" in message
    assert works == "True" and result.stderr == ""


@pytest.mark.skipif(REAL_DEEPSTREAM, reason="DeepStream is installed here, its own paths are used")
def test_opencv_finds_deepstreams_paths(cli: Cli, tmp_path: Path) -> None:
    text = """
import cv2, numpy
root = '/opt/nvidia/deepstream/deepstream/samples/'
print(cv2.imwrite(root + 'a.png', numpy.full((4, 6, 3), 9, numpy.uint8)), cv2.imread(root + 'a.png').shape)
writer = cv2.VideoWriter(root + 'a.avi', cv2.VideoWriter_fourcc(*'MJPG'), 5.0, (64, 48))
writer.write(numpy.zeros((48, 64, 3), numpy.uint8))
writer.release()
film = cv2.VideoCapture(root + 'a.avi')
print(film.isOpened(), film.read()[1].shape, isinstance(film, cv2.VideoCapture), isinstance(writer, cv2.VideoCapture))
class Mine(cv2.VideoCapture):
    pass
print(issubclass(Mine, cv2.VideoCapture), cv2.VideoWriter.fourcc(*'MJPG') == cv2.VideoWriter_fourcc(*'MJPG'))
"""
    result = cli("run", script(tmp_path, text))
    assert result.stdout.splitlines() == ["True (4, 6, 3)", "True (48, 64, 3) True False", "True True"], result.stderr
    assert (tmp_path / "home" / "deepstream" / "samples" / "a.png").is_file()
    assert result.returncode == 0


def test_adding_and_linking_elements_answers_true(cli: Cli, tmp_path: Path) -> None:
    text = """
import gi
gi.require_version('Gst', '1.0')
from gi.repository import Gst
Gst.init(None)
pipeline, inner = Gst.Pipeline(), Gst.Bin.new('inner')
first, last = Gst.ElementFactory.make('fakesrc'), Gst.ElementFactory.make('fakesink')
print(pipeline.add(first), pipeline.add(last, inner), inner.add(Gst.ElementFactory.make('queue')))
print(Gst.Element.link_many(first, last), inner.remove(inner.children[0]))
try:
    pipeline.add(first)
except Exception as error:
    print(type(error).__name__)
"""
    result = cli("run", script(tmp_path, text))
    assert result.stdout.splitlines()[:2] == ["True True True", "True True"], result.stderr
    assert result.stdout.splitlines()[2:] == ["AddError"]
