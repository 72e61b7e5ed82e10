"""Features in the forms that other tools leave them in become the same work folder as flat arrays do."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from mofore.cache.imported import read_import
from mofore.pipeline.cli import cli

from .brought import WIDTH, Brought, make
from .commands.test_verify import features

Command = Callable[..., Result]


@pytest.fixture
def brought() -> Brought:
    return make()


@pytest.fixture
def work(brought: Brought, tmp_path: Path) -> Path:
    """A work folder of the same features from flat arrays."""
    source = brought.write(tmp_path / "flat" / "mine.h5")
    assert CliRunner().invoke(cli, ["import", str(source), "-w", str(tmp_path / "work")]).exit_code == 0
    return tmp_path / "work"


def saved(root: Path, **arrays: np.ndarray) -> Path:
    """A folder with an .npy for each array; a double underscore stands for a slash."""
    for name, array in arrays.items():
        path = root / f"{name.replace('__', '/')}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    return root


def of(brought: Brought, number: int) -> np.ndarray:
    """The features of a video."""
    start = int(brought.lengths[:number].sum())
    return brought.features[start : start + brought.lengths[number]]


def stored(work: Path) -> dict[str, np.ndarray]:
    return {name: np.frombuffer(row[0], np.float16) for name, row in features(work).items()}


def command_of(work: Path) -> list[str]:
    """The command of the record, without its ``mofore``."""
    (path,) = work.glob("features/*/imported.json")
    return shlex.split(read_import(path.parent).command(work))[1:]  # type: ignore[union-attr]


def again(mofore: Command, work: Path) -> str:
    """What the command of the record says when it is given again."""
    result = mofore(*command_of(work))
    assert result.exit_code == 0, result.stderr
    return result.stderr


def test_streams_of_a_video_are_joined(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    rgb = {f"Run__a{number}_rgb": of(brought, number).astype(float) for number in range(3)}
    flow = {f"Run__a{number}_flow": -2 * of(brought, number) for number in range(3)}
    source = saved(tmp_path / "i3d", **rgb, **flow)
    made = mofore("import", source, "-w", tmp_path / "work")
    assert "3 videos have files with _rgb and _flow: streams, joined in this order" in made.stderr
    assert "3 videos, 1 class (layout folders)" in made.stderr
    expected = np.concatenate([of(brought, 1), -2 * of(brought, 1)], axis=1).astype(np.float16)
    assert np.array_equal(stored(tmp_path / "work")["Run/a1"], expected.ravel())
    assert command_of(tmp_path / "work")[2:4] == ["--streams", "rgb,flow"]
    assert "nothing changed" in again(mofore, tmp_path / "work")
    one = mofore("import", source, "--streams", "flow", "-w", tmp_path / "one")
    assert "note: not used" not in one.stderr
    assert np.array_equal(stored(tmp_path / "one")["Run/a0"], (-2 * of(brought, 0)).astype(np.float16).ravel())
    np.save(source / "Run/a2_flow.npy", np.ones((3, WIDTH)))
    refused = mofore("import", source, "-w", tmp_path / "work")
    assert (refused.exit_code, "the streams of 'Run/a2' have different numbers of frames" in refused.stderr) == (
        2,
        True,
    )


def test_rates_and_times_beside_the_features_are_read(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    arrays = {f"a{number}_clip": of(brought, number) for number in range(3)}
    frames = len(arrays["a0_clip"])
    source = saved(
        tmp_path / "clip",
        **arrays,
        a0_fps=np.array(10.0),
        a0_timestamps_ms=np.arange(frames) * 40.0,
        a1_fps=np.array(10.0),
    )
    (source / "notes.txt").write_text("x")
    work = tmp_path / "work"
    said = mofore("import", source, "-w", work).stderr
    assert f"note: not used of '{source}': notes.txt" in said
    assert "1 video has no _timestamps_ms.npy: each row is taken for a frame at the rate of _fps.npy" in said
    assert "1 video has neither times nor rate, so 25 frames a second are taken: a2" in said
    times = {name: np.frombuffer(row[1]) for name, row in features(work).items()}
    assert [round(float(times[name][1]), 3) for name in ("a0", "a1", "a2")] == [0.04, 0.1, 0.04]
    assert "nothing changed" in again(mofore, work)
    assert "stored 2 of 3" in mofore("import", source, "--fps", "5", "-w", work).stderr, "a0 has times"
    assert mofore("import", source, "--fps", "5", "-w", tmp_path / "other").exit_code == 0
    assert np.frombuffer(features(tmp_path / "other")["a1"][1])[1] == 0.2, "--fps is for rows, _fps for the video"


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (np.arange(4) * 40.0, "a0_timestamps_ms.npy' has 4 times, but 'a0' 5 frames"),
        (np.array([0, 40, 80, 120, 0]), "timestamps_ms of 'a0' do not rise: frame 4 is at 0 s, frame 3 at 0.12 s"),
        (np.array([*"abcde"]), "numbers are needed"),
    ],
)
def test_times_that_do_not_fit_are_refused(mofore: Command, tmp_path: Path, times: np.ndarray, said: str) -> None:
    source = saved(tmp_path / "clip", a0_clip=np.ones((5, 3)), a0_fps=np.array(25.0), a0_timestamps_ms=times)
    refused = mofore("import", source, "-w", tmp_path / "work")
    assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr
    assert mofore("import", source, "--fps", "5", "-w", tmp_path / "work").exit_code == 2, "the times say more"


def test_a_rate_that_is_none_is_refused(mofore: Command, tmp_path: Path) -> None:
    source = saved(tmp_path / "clip", a0_clip=np.ones((5, 3)), a0_fps=np.array(0.0))
    assert "a0_fps.npy' holds 0: frames a second" in mofore("import", source, "-w", tmp_path / "work").stderr
    assert mofore("import", source, "--fps", "5", "-w", tmp_path / "work").exit_code == 0


def test_one_ending_of_all_names_stays_in_the_ids_and_is_told(mofore: Command, tmp_path: Path) -> None:
    source = saved(tmp_path / "mine", a_r21d=np.ones((5, 3)), b_r21d=np.ones((5, 3)))
    said = mofore("import", source, "-w", tmp_path / "work").stderr
    assert "all names end in _r21d, which is taken for a part of the ids; `--streams r21d` leaves it out" in said
    assert set(stored(tmp_path / "work")) == {"a_r21d", "b_r21d"}
    assert mofore("import", source, "--streams", "r21d", "-w", tmp_path / "other").exit_code == 0
    assert set(stored(tmp_path / "other")) == {"a", "b"}


def keyed(brought: Brought, path: Path, name: str = "", **beside: Any) -> Path:
    """A file with a dataset for each video, or with a group for each, that holds ``name``."""
    arrays = {str(video): of(brought, number) for number, video in enumerate(brought.ids)}
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays, **beside)
        return path
    with h5py.File(path, "w") as file:
        for video, array in arrays.items():
            file[f"{video}/{name}" if name else video] = array
            for other, value in beside.items():
                file[f"{video}/{other}"] = value
    return path


def test_a_file_with_an_array_for_each_video(mofore: Command, brought: Brought, work: Path, tmp_path: Path) -> None:
    for number, source in enumerate(
        (
            keyed(brought, tmp_path / "mine.npz"),
            keyed(brought, tmp_path / "mine.h5"),
            keyed(brought, tmp_path / "mine.hdf5", "c3d_features", times=np.arange(3.0)),
        )
    ):
        other = tmp_path / str(number)
        made = mofore("import", source, "-w", other)
        assert made.exit_code == 0, made.stderr
        assert features(other) == features(work), "the same digests"
        assert "nothing changed" in again(mofore, other)
    assert "each group with c3d_features is a video (15)" in made.stderr
    assert f"not used of '{source}': {min(brought.ids)}/times" in made.stderr
    assert "stored 0 of 15 videos" in mofore("import", source, "--name", "mine", "-w", work).stderr


def test_of_several_in_a_group_one_is_chosen(mofore: Command, brought: Brought, work: Path, tmp_path: Path) -> None:
    source = keyed(brought, tmp_path / "mine.h5", "x/rgb", flow=np.ones((9, 2)))
    refused = mofore("import", source, "-w", tmp_path / "other")
    assert refused.exit_code == 2
    assert "holds several arrays" in refused.stderr or "of width" in refused.stderr
    assert mofore("import", source, "--dataset", "x/rgb", "-w", tmp_path / "other").exit_code == 0
    assert features(tmp_path / "other") == features(work)
    assert command_of(tmp_path / "other")[2:4] == ["--dataset", "x/rgb"]
    assert "nothing changed" in again(mofore, tmp_path / "other")


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_folder_with_a_file_for_each_video(
    mofore: Command, brought: Brought, work: Path, tmp_path: Path, suffix: str
) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    for number, video in enumerate(brought.ids):
        arrays = {"feats": of(brought, number), "fps": np.array(25.0)}
        if suffix == ".npz":
            np.savez(root / f"{video}.npz", **arrays)
        else:
            with h5py.File(root / f"{video}.h5", "w") as file:
                file.update(arrays)
    made = mofore("import", root, "-w", tmp_path / "other")
    assert f"not used of '{root}': fps" in made.stderr
    assert features(tmp_path / "other") == features(work)
    assert "nothing changed" in again(mofore, tmp_path / "other")
    brought.write(root / f"all{suffix}")
    assert "import the file itself" in mofore("import", root, "-w", tmp_path / "other").stderr


def test_arrays_of_other_axes_are_read_as_they_are_said_to_be(
    mofore: Command, brought: Brought, work: Path, tmp_path: Path
) -> None:
    turned = {str(video): np.ascontiguousarray(of(brought, number).T) for number, video in enumerate(brought.ids)}
    root = saved(tmp_path / "mine", **turned)
    refused = mofore("import", root, "-w", tmp_path / "other")
    assert (refused.exit_code, "--axis time-last" in refused.stderr) == (2, True)
    np.savez(tmp_path / "mine.npz", **{video: of(brought, n).T for n, video in enumerate(map(str, brought.ids))})
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file.update(turned)
    for source in (root, tmp_path / "mine.npz", tmp_path / "mine.h5"):
        other = tmp_path / f"of-{source.name}"
        assert mofore("import", source, "--axis", "time-last", "-w", other).exit_code == 0
        assert features(other) == features(work)
        assert "nothing changed" in again(mofore, other)
    flat = brought.write(tmp_path / "flat.h5", features=brought.features.T)
    assert "--axis time-last" in mofore("import", flat, "-w", tmp_path / "flat").stderr
    assert mofore("import", flat, "--axis", "time-last", "-w", tmp_path / "flat").exit_code == 0
    assert features(tmp_path / "flat") == features(work)


def test_crops_are_averaged_on_request_alone(mofore: Command, brought: Brought, work: Path, tmp_path: Path) -> None:
    half = brought.features.astype(np.float16).astype(np.float32)
    crops = np.stack([half - 0.5, half + 0.5], axis=1)
    source = brought.write(tmp_path / "mine.npz", features=crops)
    assert "`--average-crops` takes their mean" in mofore("import", source, "-w", tmp_path / "other").stderr
    assert mofore("import", source, "--average-crops", "-w", tmp_path / "other").exit_code == 0
    assert all(np.allclose(one, stored(work)[name], atol=2e-3) for name, one in stored(tmp_path / "other").items())
    assert "--average-crops" in command_of(tmp_path / "other")


def test_videos_without_frames_are_left_out_and_named(
    mofore: Command, brought: Brought, work: Path, tmp_path: Path
) -> None:
    lengths, ids = np.append(brought.lengths, 0), np.append(brought.ids, "v_Run_g09_c09")
    source = brought.write(tmp_path / "mine.h5", lengths=lengths, ids=ids)
    made = mofore("import", source, "-w", tmp_path / "other")
    assert "note: 1 of 16 videos have no frames and are left out: v_Run_g09_c09" in made.stderr
    assert features(tmp_path / "other") == features(work)
    root = saved(brought.write_folder(tmp_path / "folder"), a=np.ones((0, WIDTH), "f4"), b=np.array([]))
    made = mofore("import", root, "-w", tmp_path / "third")
    assert "note: 2 of 17 videos have no frames and are left out: a, b" in made.stderr
    assert features(tmp_path / "third") == features(work)
    refused = mofore("import", saved(tmp_path / "none", a=np.array([])), "-w", tmp_path / "fourth")
    assert (refused.exit_code, "none of its 1 videos has a frame" in refused.stderr) == (2, True)


def test_the_label_of_no_class_is_no_class(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    source = brought.write(tmp_path / "mine.h5", labels=np.array([-1, -1, *range(2), *[2] * 11]))
    made = mofore("import", source, "-w", tmp_path / "work")
    assert "note: 2 of 15 videos have the label -1 or none: they have no class" in made.stderr
    assert "15 videos, 3 classes" in made.stderr


def test_a_virtual_dataset_without_its_file_is_refused(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    source = brought.write(tmp_path / "mine.h5", features=None)
    layout = h5py.VirtualLayout(brought.features.shape, "f4")
    layout[:] = h5py.VirtualSource("gone.h5", "x", shape=brought.features.shape)
    with h5py.File(source, "a") as file:
        file.create_virtual_dataset("features", layout)
    refused = mofore("import", source, "-w", tmp_path / "work")
    assert (refused.exit_code, "source 'gone.h5' is not there" in refused.stderr) == (2, True)
    assert not (tmp_path / "work").exists()


def test_options_that_would_do_nothing_are_refused(mofore: Command, brought: Brought, tmp_path: Path) -> None:
    file, folder = brought.write(tmp_path / "mine.h5"), brought.write_folder(tmp_path / "mine")
    for args, said in (
        ((file, "--streams", "rgb"), "--streams is for a folder"),
        ((file, "--average-crops"), "without an axis of crops"),
        ((folder, "--dataset", "x"), "--dataset chooses in HDF5 and .npz files"),
        ((folder, "--streams", "rgb"), "no name ends so"),
        ((file, "--dataset", "x"), "no group of"),
    ):
        refused = mofore("import", *args, "-w", tmp_path / "work")
        assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr


def test_messages_are_short_whatever_the_file_holds(mofore: Command, tmp_path: Path) -> None:
    name = "very-long-" * 50
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for number in range(300):
            file[f"{name}{number}"] = np.arange(4)
    saved(tmp_path / "folder", **{f"{name[:200]}{number}": np.ones((4, 3 + number % 2)) for number in range(300)})
    np.savez(tmp_path / "ids.npz", features=np.ones((4, 3)), lengths=[2, 2], ids=[name * 20, name * 20])
    np.savez(
        tmp_path / "type.npz", features=np.zeros(4, [(f"{name}{n}", "f4") for n in range(50)]), lengths=[4], ids="a"
    )
    for source in ("many.h5", "folder", "ids.npz", "type.npz"):
        refused = mofore("import", tmp_path / source, "-w", tmp_path / "work")
        assert refused.exit_code == 2
        assert len(refused.stderr) < 1500, source
        assert refused.stderr.count("\n") < 20
