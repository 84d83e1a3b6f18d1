"""Body poses: an articulated figure's joints in three dimensions from a motion style and a moment.

Body frame: x to the person's left, y up, z forward; unit is the person's height, the lowest foot stands at y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi, sin

import numpy as np

from millrace.samples.drawing import Array

KEYPOINT_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
COCO_SIGMAS = np.array(
    [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float64
) / 1000.0  # fmt: skip

NOSE, LEYE, REYE, LEAR, REAR, LSHO, RSHO, LELB, RELB, LWRI, RWRI, LHIP, RHIP, LKNE, RKNE, LANK, RANK = range(17)
LHAND, RHAND, LTOE, RTOE, LHEEL, RHEEL, HEAD, NECK, PELVIS, CHEST = range(17, 27)
JOINTS = 27

MOVING = ("walk", "walk", "walk", "run")
STANDING = ("stand", "stand", "hips", "phone", "wave", "jacks", "squat", "reach", "point", "any")


@dataclass
class Pose:
    """Angles in radians; lists hold (left, right). Flexion is forward, abduction outward."""

    hip: list[float] = field(default_factory=lambda: [0.0, 0.0])
    spread: list[float] = field(default_factory=lambda: [0.04, 0.04])
    knee: list[float] = field(default_factory=lambda: [0.05, 0.05])
    shoulder: list[float] = field(default_factory=lambda: [0.05, 0.05])
    raise_: list[float] = field(default_factory=lambda: [0.12, 0.12])
    elbow: list[float] = field(default_factory=lambda: [0.2, 0.2])
    fore: list[float] = field(default_factory=lambda: [0.06, 0.06])
    lean: float = 0.03
    twist: float = 0.0
    nod: float = 0.0
    look: float = 0.0


@dataclass(frozen=True)
class Build:
    """Proportions of one body as factors around 1, and `height` in metres."""

    height: float
    shoulders: float
    legs: float
    arms: float
    head: float
    girth: float

    @staticmethod
    def random(rng: np.random.Generator) -> Build:
        """Draw a body from a plausible range."""
        child = rng.random() < 0.1
        return Build(
            height=float(rng.uniform(1.1, 1.45) if child else rng.uniform(1.5, 1.95)),
            shoulders=float(rng.uniform(0.85, 1.15)),
            legs=float(rng.uniform(0.94, 1.05)),
            arms=float(rng.uniform(0.93, 1.06)),
            head=float(rng.uniform(1.1, 1.3) if child else rng.uniform(0.95, 1.12)),
            girth=float(rng.uniform(0.85, 1.3)),
        )


def motion(style: str, phase: float, habit: Array) -> Pose:
    """The pose of a motion style.

    style: one of MOVING or STANDING; phase: radians, 2 pi is one gait cycle or gesture; habit: (8,) standard normal
    numbers that make each person's way of moving their own.
    """
    pose = Pose()
    pose.nod, pose.look = 0.08 * habit[0], 0.35 * habit[1] + 0.1 * sin(phase * 0.23 + habit[2])
    amount = 1.0 + 0.15 * habit[3]
    if style in ("walk", "run"):
        fast = style == "run"
        swing, flex = (0.75, 1.4) if fast else (0.44, 0.75)
        for side, sign in ((0, 1.0), (1, -1.0)):
            wave = sin(phase) * sign
            lift = sin(phase - 1.0 if sign > 0 else phase - 1.0 + pi)
            pose.hip[side] = amount * swing * wave + (0.12 if fast else 0.03)
            pose.knee[side] = 0.08 + amount * flex * max(0.0, -lift * 0.9 + 0.15)
            pose.shoulder[side] = -amount * (0.8 if fast else 0.45 + 0.1 * habit[4]) * wave
            pose.elbow[side] = (1.5 if fast else 0.3 + 0.15 * abs(habit[5])) + 0.25 * max(0.0, -wave)
        pose.lean, pose.twist = (0.16 if fast else 0.04 + 0.03 * habit[6]), -0.12 * sin(phase)
        return pose
    sway = sin(phase * 0.4 + habit[2])
    pose.lean = 0.03 + 0.03 * habit[6] + 0.01 * sway
    pose.hip = [0.04 * habit[4], -0.04 * habit[4]]
    pose.spread = [0.06 + 0.04 * abs(habit[5])] * 2
    pose.twist = 0.06 * sway
    lead = 0 if habit[7] > 0 else 1
    if style == "hips":
        pose.raise_, pose.elbow, pose.fore, pose.shoulder = [0.75, 0.75], [0.35, 0.35], [-0.75, -0.75], [-0.15, -0.15]
    elif style == "phone":
        pose.shoulder[lead], pose.elbow[lead] = 0.55 + 0.05 * sway, 1.75
        pose.nod = 0.35
    elif style == "wave":
        pose.raise_[lead], pose.fore[lead], pose.elbow[lead] = 1.7 + 0.15 * sway, 2.7 + 0.45 * sin(phase * 1.5), 0.0
    elif style == "jacks":
        open_ = 0.5 - 0.5 * cos(phase)
        pose.spread = [0.05 + 0.4 * open_] * 2
        pose.raise_ = [0.15 + 2.5 * open_] * 2
        pose.fore = [0.15 + 2.75 * open_] * 2
        pose.elbow = [0.1, 0.1]
    elif style == "squat":
        down = (0.5 - 0.5 * cos(phase * 0.7)) * (0.8 + 0.2 * abs(sin(habit[0])))
        pose.hip, pose.knee = [1.45 * down] * 2, [2.0 * down] * 2
        pose.lean, pose.shoulder, pose.elbow = 0.05 + 0.55 * down, [1.35 * down] * 2, [0.15, 0.15]
        pose.spread = [0.2, 0.2]
    elif style == "reach":
        pose.shoulder[lead], pose.elbow[lead] = 2.2 + 0.5 * sin(phase * 0.6), 0.3 + 0.2 * sway
        pose.lean = 0.12
    elif style == "point":
        pose.shoulder[lead], pose.elbow[lead], pose.raise_[lead] = 1.4 + 0.1 * sway, 0.05, 0.3 * abs(habit[5])
    elif style == "any":
        for side in (0, 1):
            a, b = habit[side * 3], habit[side * 3 + 1]
            pose.shoulder[side] = 0.8 + 0.9 * a + 0.15 * sin(phase + b)
            pose.raise_[side] = min(2.2, abs(0.7 * b) + 0.1)
            pose.fore[side] = pose.raise_[side] + 0.5 * a
            pose.elbow[side] = min(2.2, abs(0.9 * habit[6] + 0.4 * a))
            pose.hip[side] = 0.3 * habit[2 + side]
            pose.knee[side] = 0.1 + 0.35 * abs(habit[2 + side])
        pose.lean = 0.12 * habit[7]
    return pose


def _limb(flexion: float, abduction: float, side: float) -> Array:
    return np.array([side * sin(abduction), -cos(abduction) * cos(flexion), cos(abduction) * sin(flexion)])


def _turn(v: Array, angle: float) -> Array:
    c, s = cos(angle), sin(angle)
    return np.array([v[0] * c + v[2] * s, v[1], -v[0] * s + v[2] * c])


def joints(pose: Pose, build: Build) -> Array:
    """Joint positions (27, 3) in the body frame, in heights; the first 17 are the COCO keypoints."""
    p = np.zeros((JOINTS, 3))
    thigh, shank, ankle = 0.245 * build.legs, 0.246 * build.legs, 0.042
    up = np.array([0.0, cos(pose.lean), sin(pose.lean)])
    spine = 0.285 + 0.5 * (1 - build.legs)
    p[CHEST] = p[PELVIS] + up * spine
    p[NECK] = p[CHEST] + up * 0.03
    arm_up, arm_low, hand = 0.172 * build.arms, 0.155 * build.arms, 0.05
    for side, sign in ((0, 1.0), (1, -1.0)):
        p[LSHO + side] = p[CHEST] + _turn(np.array([sign * 0.108 * build.shoulders, 0.0, 0.0]), pose.twist)
        p[LELB + side] = p[LSHO + side] + arm_up * _limb(pose.shoulder[side], pose.raise_[side], sign)
        fore = _limb(pose.shoulder[side] + pose.elbow[side], pose.fore[side], sign)
        p[LWRI + side] = p[LELB + side] + arm_low * fore
        p[LHAND + side] = p[LWRI + side] + hand * fore
        p[LHIP + side] = (sign * 0.056 * (0.5 + 0.5 * build.girth), -0.01, 0.0)
        p[LKNE + side] = p[LHIP + side] + thigh * _limb(pose.hip[side], pose.spread[side], sign)
        low = _limb(pose.hip[side] - pose.knee[side], pose.spread[side] * 0.6, sign)
        p[LANK + side] = p[LKNE + side] + shank * low
        # The foot stays square to the shank but never points below the ground by more than a toe-off.
        tilt = max(-0.7, min(0.4, (pose.hip[side] - pose.knee[side]) * 0.8))
        toe = np.array([sign * 0.02, sin(tilt), cos(tilt)])
        down = np.array([0.0, -cos(tilt), sin(tilt)])
        p[LHEEL + side] = p[LANK + side] + ankle * 0.7 * down - 0.012 * toe
        p[LTOE + side] = p[LANK + side] + ankle * 0.7 * down + 0.1 * toe
    size = build.head
    nod = pose.lean * 0.4 + pose.nod
    forward = _turn(np.array([0.0, -sin(nod), cos(nod)]), pose.look)
    crown = np.array([0.0, cos(nod), sin(nod)])
    left = np.array([cos(pose.look), 0.0, -sin(pose.look)])
    p[HEAD] = p[NECK] + up * 0.035 + crown * 0.06 * size
    p[NOSE] = p[HEAD] + (forward * 0.07 - crown * 0.006) * size
    for side, sign in ((0, 1.0), (1, -1.0)):
        p[LEYE + side] = p[HEAD] + (forward * 0.054 + crown * 0.016 + sign * left * 0.022) * size
        p[LEAR + side] = p[HEAD] + (forward * 0.0 + sign * left * 0.052) * size
    p[:, 1] -= min(p[LTOE, 1], p[RTOE, 1], p[LHEEL, 1], p[RHEEL, 1]) - 0.012
    return p


def head_axes(p: Array) -> tuple[Array, Array]:
    """(forward, up) unit vectors of the head, from its joints (27, 3)."""
    forward = p[NOSE] - 0.5 * (p[LEAR] + p[REAR])
    left = p[LEAR] - p[REAR]
    up = np.cross(forward, left)
    return forward / np.linalg.norm(forward), up / np.linalg.norm(up)
