"""Trackers: ids for detections that are the same object from frame to frame."""

from __future__ import annotations

from millrace.track.iou import UNTRACKED, IouTracker, iou_matrix

__all__ = ["UNTRACKED", "IouTracker", "iou_matrix"]
