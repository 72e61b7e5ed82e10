import pickle
from pathlib import Path

import pytest

from mofore.data.errors import CatalogError
from mofore.data.remote_path import RemotePath, location, without_secrets
from mofore.data.types import Video


def test_paths_of_a_store_are_joined_and_taken_apart_as_others() -> None:
    folder = RemotePath.parse("s3://bucket/ucf/")
    video = folder / "YoYo/a #1?.avi"
    assert str(video) == "s3://bucket/ucf/YoYo/a #1?.avi"
    assert (video.name, video.suffix, str(video.parent)) == ("a #1?.avi", ".avi", "s3://bucket/ucf/YoYo")
    assert (video.protocol, video.key) == ("s3", "bucket/ucf/YoYo/a #1?.avi")
    for same in (video.absolute(), video.resolve(), video.expanduser(), pickle.loads(pickle.dumps(video)), video / ""):
        assert type(same) is RemotePath
        assert same == video
    assert not video.exists()  # on this machine


def test_text_without_protocol_is_a_path_of_this_machine() -> None:
    assert location("videos/a.mp4") == Path("videos/a.mp4")
    assert type(location("s3:/bucket")) is not RemotePath
    assert type(location("gs://bucket/x")) is RemotePath


def test_video_with_an_url_for_its_file_is_there() -> None:
    video = Video("x/a.avi", None, None, 1, 1, file="s3://other/x/a.avi")
    assert str(video.path(RemotePath.parse("gs://bucket"))) == "s3://other/x/a.avi"


@pytest.mark.parametrize("text", ["s3://KEY:pass@bucket/x", "s3://KEY:pa/ss@bucket/x", "s3://pass@bucket"])
def test_urls_with_a_user_are_refused_without_saying_it_again(text: str) -> None:
    with pytest.raises(CatalogError, match="AWS_ACCESS_KEY_ID") as refused:
        RemotePath.parse(text)
    assert "pa" not in str(refused.value).replace("path", "")
    assert "KEY:" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("s3://bucket/x?X-Amz-Signature=abc", "give the folder alone"),
        ("s3://", "names no bucket"),
        ("file:///videos", "give its path"),
        ("https://host/videos", "fetch the videos first"),
    ],
)
def test_urls_of_no_use_are_refused(text: str, why: str) -> None:
    with pytest.raises(CatalogError, match=why) as refused:
        RemotePath.parse(text)
    assert "abc" not in str(refused.value)


def test_messages_lose_users_and_queries() -> None:
    told = without_secrets('no answer from "http://me:secret/1@host:9000/b/a.mp4?sig=abc&x=1": why?')
    assert told == 'no answer from "http://...@host:9000/b/a.mp4?...": why?'
    assert without_secrets("s3://bucket/a@b.mp4 is not there") == "s3://bucket/a@b.mp4 is not there"
