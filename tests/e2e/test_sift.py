"""A model that is Python, from outside: two views of a scene match, and what is wrong is told."""

from __future__ import annotations

import base64
import json
import subprocess
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

import hotplate_tools.models.sift
from hotplate_tools.console import Console
from hotplate_tools.environments import ensure
from hotplate_tools.publish.program import function_converter, functions_root
from tests.e2e.test_requests import bomb_png
from tests.support.http_call import Answer, call

INFER = "/v2/models/sift/infer"
SIDE = 320
# Where the second view shows a point of the first; `make.py` drew it so.
VIEW = np.array([[0.769, -0.366, 95.0], [0.352, 0.78, -12.0], [2.2e-4, -1.2e-4, 1.0]])


def picture(name: str) -> bytes:
    return (files(hotplate_tools.models.sift) / f"{name}.jpg").read_bytes()


def ask(server: str, *contents: bytes, outputs: tuple[str, ...] = ()) -> Answer:
    inputs = [
        {
            "name": name,
            "datatype": "BYTES",
            "shape": [1],
            "data": [base64.b64encode(content).decode()],
            "parameters": {"content_type": "base64"},
        }
        for name, content in zip(("image_file", "other_file"), contents, strict=False)
    ]
    wanted = {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    return call(server, "POST", INFER, json.dumps({"inputs": inputs, **wanted}).encode())


def arrays(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.json()
    return {each["name"]: np.reshape(each["data"], each["shape"]) for each in answer.json()["outputs"]}


def test_metadata_says_that_it_is_python_and_what_may_be_left_out(server: str) -> None:
    metadata = call(server, "GET", "/v2/models/sift").json()
    assert metadata["platform"] == "python"
    first, second = metadata["inputs"]
    assert (first["shape"], "optional" in first["parameters"]) == ([1], False)
    assert second["parameters"]["optional"] is True


# OpenCV asked by itself, in the function's own environment: no code of the function between.
OPENCV = """
import json, sys
import cv2
grey = cv2.imread(sys.argv[1], cv2.IMREAD_GRAYSCALE)
points, descriptors = cv2.SIFT_create(nfeatures=int(sys.argv[2])).detectAndCompute(grey, None)
print(json.dumps({"keypoints": [[*each.pt, each.size, each.angle] for each in points],
                  "descriptors": descriptors.tolist()}))
"""


def test_points_over_http_are_opencvs_own(server: str) -> None:
    converter = function_converter(functions_root(), "sift")
    binaries = ensure(
        converter.environment,
        Console(as_json=True),
        python=converter.python,
        requirements=converter.requirements,
    )
    scene = files(hotplate_tools.models.sift) / "scene.jpg"
    command = [str(binaries / "python"), "-c", OPENCV, str(scene), "2000"]
    own = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    answer = arrays(ask(server, picture("scene"), outputs=("keypoints", "descriptors")))
    assert len(own["keypoints"]) > 100
    np.testing.assert_allclose(answer["keypoints"], own["keypoints"], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(answer["descriptors"], own["descriptors"], atol=1)


def test_two_views_of_a_scene_match_where_they_should(server: str) -> None:
    answer = arrays(ask(server, picture("scene"), picture("view")))
    # 240 when the model was published; another processor may lose a few.
    assert answer["inliers"].item() >= 200
    assert answer["is_inlier"].sum() == answer["inliers"].item()
    corners = np.array([[0, 0, 1], [SIDE, 0, 1], [SIDE, SIDE, 1], [0, SIDE, 1]]).T
    found, right = answer["homography"][0] @ corners, VIEW @ corners
    assert np.abs(found[:2] / found[2] - right[:2] / right[2]).max() < 1.5
    pairs = answer["pairs"][answer["is_inlier"].astype(bool)]
    points = answer["keypoints"][pairs[:, 0], :2]
    seen = VIEW @ np.column_stack([points, np.ones(len(points))]).T
    apart = np.abs(seen[:2] / seen[2] - answer["other_keypoints"][pairs[:, 1], :2].T)
    assert np.median(apart) < 1


def test_another_scene_does_not_match(server: str) -> None:
    answer = arrays(ask(server, picture("scene"), picture("other"), outputs=("inliers",)))
    assert set(answer) == {"inliers"}
    assert answer["inliers"].item() < 20


def test_one_picture_alone_has_points_and_no_pairs(server: str) -> None:
    answer = arrays(ask(server, picture("scene")))
    assert answer["descriptors"].shape == (len(answer["keypoints"]), 128)
    assert len(answer["keypoints"]) > 300
    assert answer["pairs"].shape == (0, 2)
    assert answer["homography"].shape == (0, 3, 3)
    assert ((answer["keypoints"][:, :2] >= -0.5) & (answer["keypoints"][:, :2] < SIDE)).all()


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ((), "image_file"),
        ((b"no picture",), "PNG or JPEG"),
        ((b"",), "0 bytes"),
        ((bomb_png(),), "at most 24000000 pixels in a request"),
        ((bomb_png(4000), bomb_png(4000)), "which makes 32000000"),
        ((picture("scene"), picture("view")[:-400]), "other_file[0]"),
        ((picture("scene")[:200],), "image_file[0]"),
    ],
    ids=["nothing", "no picture", "empty", "bomb", "two large ones", "cut off", "header alone"],
)
def test_picture_that_cannot_be_read_is_named(server: str, contents: tuple[bytes, ...], words: str) -> None:
    answer = ask(server, *contents)
    assert answer.status == 400
    assert words in answer.json()["error"]


def test_input_that_is_there_twice_in_one_element_is_refused_by_the_signature(server: str) -> None:
    data = [base64.b64encode(picture("scene")).decode()] * 2
    tensor = {"name": "image_file", "datatype": "BYTES", "shape": [2], "data": data}
    answer = call(server, "POST", INFER, json.dumps({"inputs": [tensor]}).encode())
    assert (answer.status, "[1]" in answer.json()["error"]) == (400, True)
