"""Each application ends by itself with exit 0, and the counts it prints are the sample street's."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import pytest

from .running import Apps, Counts

pytestmark = [pytest.mark.gst, pytest.mark.slow]


def pictures_differ_from_black(pictures: list[Path]) -> None:
    assert len(pictures) > 10
    for picture in pictures[:: max(1, len(pictures) // 5)]:
        assert cv2.imread(str(picture)).std() > 10


def test_deepstream_test1(apps: Apps) -> None:
    args = ("deepstream_test_1.py", apps.streams / "sample_720p.h264")
    done = apps.run("apps/deepstream-test1", *args)
    counts = Counts.of(done.out).compare(apps.streams / "sample_720p.mp4")
    apps.note("deepstream-test1", args, f"exit 0 in {done.seconds:.0f} s; {counts}")
    assert counts.frames == counts.truth_frames
    assert counts.plausible, counts


def test_deepstream_test1_rtsp_out(apps: Apps, rtsp_out: None, tmp_path: Path) -> None:
    args = ("deepstream_test1_rtsp_out.py", "-i", apps.streams / "sample_720p.h264")
    done = apps.run("apps/deepstream-test1-rtsp-out", *args, record=(8554, "h264", tmp_path))
    counts = Counts.of(done.out).compare(apps.streams / "sample_720p.mp4")
    apps.note("deepstream-test1-rtsp-out", args, f"exit 0; {counts}; {len(done.pictures)} pictures received by RTSP")
    assert counts.frames == counts.truth_frames
    assert counts.plausible, counts
    pictures_differ_from_black(done.pictures)


@pytest.mark.parametrize("more", [(), ("--rtsp-ts",)], ids=["", "rtsp-ts"])
def test_deepstream_rtsp_in_rtsp_out(
    apps: Apps, cameras: list[str], rtsp_out: None, tmp_path: Path, more: tuple[str, ...]
) -> None:
    args = ("deepstream_test1_rtsp_in_rtsp_out.py", "-i", *cameras[:2], "-g", "nvinfer", *more)
    done = apps.run("apps/deepstream-rtsp-in-rtsp-out", *args, record=(8554, "h264", tmp_path))
    frames = [int(n) for n in re.findall(r"Frame Number= (\d+)", done.out)]
    apps.note(
        "rtsp-in-rtsp-out",
        args,
        f"exit 0; {len(frames)} frames of 2 streams; {len(done.pictures)} pictures received by RTSP",
    )
    assert max(frames) > 50 and len(frames) > 100
    # unknown until the server's first report
    assert len(re.findall("RTSP Timestamp: 20", done.out)) > (len(frames) / 3 if more else -1)
    pictures_differ_from_black(done.pictures)


def test_deepstream_test2(apps: Apps) -> None:
    args = ("deepstream_test_2.py", apps.streams / "sample_720p.h264")
    done = apps.run("apps/deepstream-test2", *args)
    counts = Counts.of(done.out).compare(apps.streams / "sample_720p.mp4")
    past = {int(n) for n in re.findall(r"uniqueId= (\d+)", done.out)}
    apps.note("deepstream-test2", args, f"exit 0; {counts}; past frames of {len(past)} tracked objects")
    assert counts.frames == counts.truth_frames
    assert counts.plausible, counts
    assert past


@pytest.mark.parametrize("number", [1, 4])
def test_deepstream_test3_files(apps: Apps, number: int) -> None:
    args = ("deepstream_test_3.py", "-i", *[f"file://{apps.streams}/sample_qHD.mp4"] * number, "--no-display")
    done = apps.run("apps/deepstream-test3", *args)
    counts = Counts.of(done.out).compare(apps.streams / "sample_qHD.mp4")
    apps.note(f"deepstream-test3, {number} files", args, f"exit 0 in {done.seconds:.0f} s; {counts}")
    assert counts.frames == number * counts.truth_frames
    assert counts.plausible, counts


@pytest.mark.parametrize("number", [1, 4])
def test_deepstream_test3_rtsp(apps: Apps, cameras: list[str], number: int) -> None:
    args = ("deepstream_test_3.py", "-i", *cameras[:number], "--no-display")
    done = apps.run("apps/deepstream-test3", *args)
    counts = Counts.of(done.out).compare(apps.streams / "sample_qHD.mp4", every=3)
    apps.note(f"deepstream-test3, {number} RTSP", args, f"exit 0 in {done.seconds:.0f} s; {counts}")
    assert counts.frames > 0.9 * number * counts.truth_frames / 3
    assert all(
        low - 0.4 <= mean <= high + 0.4 for mean, low, high in zip(counts.mean, counts.low, counts.high, strict=True)
    )


def test_deepstream_imagedata_multistream(apps: Apps, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    uris = [f"file://{apps.streams}/sample_720p.mp4"] * 2
    args = ("deepstream_imagedata-multistream.py", *uris, folder)
    done = apps.run("apps/deepstream-imagedata-multistream", *args)
    counts = Counts.of(done.out).compare(apps.streams / "sample_720p.mp4")
    saved = sorted(folder.glob("stream_*/*.jpg"))
    apps.note("imagedata-multistream", args, f"exit 0; {counts}; {len(saved)} pictures with boxes saved")
    assert counts.frames == 2 * counts.truth_frames
    assert counts.plausible, counts
    assert saved and all(cv2.imread(str(path)) is not None for path in saved)


@pytest.mark.parametrize("codec", ["H264", "H265"])
def test_deepstream_imagedata_multistream_redaction(apps: Apps, rtsp_out: None, tmp_path: Path, codec: str) -> None:
    shutil.rmtree(apps.root / "apps/deepstream-imagedata-multistream-redaction/out_crops", ignore_errors=True)
    args = ("deepstream_imagedata-multistream_redaction.py", "-i", f"file://{apps.streams}/sample_qHD.mp4", "-c", codec)
    done = apps.run("apps/deepstream-imagedata-multistream-redaction", *args, record=(8554, codec.lower(), tmp_path))
    rows = [
        tuple(map(int, r))
        for r in re.findall(r"Frame Number= (\d+) Number of Objects= (\d+) Face_count= (\d+)", done.out)
    ]
    persons = [int(n) for n in re.findall(r"Person_count= (\d+)", done.out)]
    apps.note(
        f"imagedata-multistream-redaction, {codec}", args,
        f"exit 0; {len(rows)} frames; persons {sum(persons) / max(len(persons), 1):.2f} and faces "
        f"{sum(r[2] for r in rows) / max(len(rows), 1):.2f} a frame; {len(done.pictures)} pictures received by RTSP",
    )  # fmt: skip
    truth = json.loads((apps.streams / "sample_qHD.json").read_text())["frames"]
    assert len(rows) == len(truth)
    pictures_differ_from_black(done.pictures)


def test_deepstream_demux_multi_in_multi_out(apps: Apps) -> None:
    args = ("deepstream_demux_multi_in_multi_out.py", "-i", *[f"file://{apps.streams}/sample_qHD.mp4"] * 2)
    done = apps.run("apps/deepstream-demux-multi-in-multi-out", *args)
    counts = Counts.of(done.out).compare(apps.streams / "sample_qHD.mp4")
    apps.note("demux-multi-in-multi-out", args, f"exit 0; {counts}")
    assert counts.frames == 2 * counts.truth_frames
    assert counts.plausible, counts


def test_runtime_source_add_delete(apps: Apps, tmp_path: Path) -> None:
    # long, as the application plays as fast as it can, and most sources are to be deleted before their end
    clip = tmp_path / "five_minutes.h264"
    clip.write_bytes((apps.streams / "sample_qHD.h264").read_bytes() * 30)
    args = ("deepstream_rt_src_add_del.py", f"file://{clip}")
    done = apps.run("apps/runtime_source_add_delete", *args, timeout=240)
    started = re.findall(r"Calling Start (\d)", done.out)
    linked = done.out.count("Decodebin linked to pipeline")
    stopped = re.findall(r"Calling Stop (\d)", done.out)
    ended = re.findall(r"Got EOS from stream (\d)", done.out)
    apps.note(
        "runtime_source_add_delete", args,
        f"exit 0 in {done.seconds:.0f} s; {linked} sources linked ({len(started)} added while playing), "
        f"{len(stopped)} deleted while playing, {len(ended)} ended",
    )  # fmt: skip
    assert linked == 1 + len(started) and len(started) == 3 and len(stopped) >= 3
    assert len(stopped) + len(ended) == 4
    assert "All sources stopped quitting" in done.out


def test_deepstream_custom_binding_test(apps: Apps) -> None:
    args = ("deepstream_custom_binding_test.py", apps.streams / "sample_qHD.h264")
    done = apps.run("apps/deepstream-custom-binding-test", *args)
    frames = len(json.loads((apps.streams / "sample_qHD.json").read_text())["frames"])
    # two threads print, so that only single words are sure to come in one piece
    added, read = done.out.count("adding user meta"), done.out.count("sampleInt::")
    apps.note("custom-binding-test", args, f"exit 0; {added} metas added, {read} read back")
    assert added == frames and read == frames


def test_integration_tests(apps: Apps) -> None:
    """The repository's own pytest, in its folder."""
    (apps.root / "tests" / "integration" / "run_all.py").write_text(
        "import sys, pytest\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'test.py']))\n"
    )
    apps.environment["PYTHONPATH"] = f"{apps.root}:{apps.environment.get('PYTHONPATH', '')}".rstrip(":")
    done = apps.run("tests/integration", "run_all.py", timeout=300)
    passed = re.search(r"(\d+) passed.*", done.out)
    assert passed is not None
    apps.note("tests/integration/test.py", ("pytest test.py",), passed[0])
    assert passed[1] == "3" and "failed" not in passed[0]
