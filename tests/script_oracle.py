"""What a script of the performer makes a person do: exact kinematics and events, by no code of the generator."""

from __future__ import annotations

from typing import Any

import numpy as np

from builder.types import Track

HZ, GRAVITY = 50, 9.81
# Numbers in the cast: a plain sample, and those who once caught the generator in a wrong answer.
PEOPLE = (*range(60), 78, 95, 96, 98, 110, 111, 115, 127, 163, 168, 198)
AXIS = {"left": (0, 1), "right": (0, -1), "up": (1, 1), "down": (1, -1), "forward": (2, 1), "backward": (2, -1)} | {
    "turn_left": (3, 1),
    "turn_right": (3, -1),
    "lean_forward": (4, 1),
    "lean_backward": (4, -1),
    "lean_left": (5, 1),
    "lean_right": (5, -1),
    "away": (6, 1),
    "towards": (6, -1),
}
LEAST = (0.30, 0.20, 0.30, 30.0, 20.0, 20.0, 0.50)  # of a movement, per column of `Truth.signals`
SEEN = (0.03, 0.02, 0.03, 3.0, 2.0, 2.0, 0.03)  # what must change before a stop is over
TRIM = (0.10, 0.05, 0.10, 15.0, 6.0, 6.0, 0.10)
FLOOR, TURNS = ("forward", "backward", "left", "right"), ("turn_left", "turn_right")
LEANS = ("lean_forward", "lean_backward", "lean_left", "lean_right")
# (first facing off by, scale of what counts, stop that separates, share of the way to the latest visible start)
NOMINAL = (0.0, 1.0, 0.5, 0.5)
DOUBTS = [NOMINAL] + [(d, *rest) for d in (-9.0, 0.0, 9.0) for rest in ((0.72, 0.3, 0), (0.72, 0.9, 1), (1.38, 0.3, 1), (1.38, 0.9, 0))]


def smooth(u: Any) -> Any:
    u = np.clip(u, 0.0, 1.0)
    return 6 * u**5 - 15 * u**4 + 10 * u**3


def kinematics(a: dict[str, Any], t: np.ndarray) -> np.ndarray:
    """(n, 6) left, up, forward (m), yaw, pitch, roll (deg) of one action of a timeline at `t` seconds since its start."""
    out, kind = np.zeros((len(t), 6)), a["action"]
    seconds = a["end_s"] - a["start_s"]
    if kind in ("Walk", "Run", "Arc", "Stairs"):
        fine = np.linspace(0.0, seconds, 2000)
        ramp = min(0.6, a["metres"] / a["speed"])
        speed = (1 - np.cos(np.pi * np.clip(np.minimum(fine, seconds - fine) / ramp, 0, 1))) / 2
        share = np.concatenate([[0.0], np.cumsum(speed[1:] + speed[:-1])])
        share /= share[-1]
        course = np.radians(a.get("direction_deg", 0.0) + a.get("degrees", 0.0) * (share[1:] + share[:-1]) / 2)
        for column, part in ((0, np.sin(course)), (2, np.cos(course))):
            out[:, column] = np.interp(t, fine, np.concatenate([[0.0], np.cumsum(part * np.diff(share) * a["metres"])]))
        gone = np.interp(t, fine, share)
        out[:, 1], out[:, 3] = a.get("rise", 0.0) * gone, a.get("degrees", 0.0) * gone
    elif kind == "Turn":
        out[:, 3] = a["degrees"] * smooth(t / seconds)
    elif kind == "Jump":
        takeoff = np.sqrt(2 * GRAVITY * a["height"])
        push, air = 2 * a["dip"] / takeoff, 2 * takeoff / GRAVITY
        since = t - 0.4 - push  # since take-off
        out[:, 1] = np.where(since < 0, -a["dip"] * (1 - np.clip(1 + since / push, 0, 1) ** 2), takeoff * since - GRAVITY * since**2 / 2)
        out[:, 1] = np.where(t < 0.4, -a["dip"] * smooth(t / 0.4), out[:, 1])
        down = np.clip((since - air) / push, 0, 1)
        out[:, 1] = np.where(since > air, -a["dip"] * (1 - (1 - down) ** 2) * (1 - smooth((since - air - push) / 0.5)), out[:, 1])
        gone, way = a["metres"] * smooth((t - 0.4) / (air + 2 * push)), np.radians(a["direction_deg"])
        out[:, 0], out[:, 2] = gone * np.sin(way), gone * np.cos(way)
    elif kind in ("Crouch", "Lean"):
        move = (seconds - a["hold_s"]) / 2
        share = smooth(np.minimum(t, seconds - t) / move)
        ends = (0, -a["depth"], -0.06, 0, 12.0, 0) if kind == "Crouch" else (0, 0, 0, 0, a["pitch_deg"], a["roll_deg"])
        out[:] = share[:, None] * np.array(ends)
    elif kind in ("Sit", "StandUp"):
        sign, u = (1 if kind == "Sit" else -1), t / a["move_s"]
        out[:, 1], out[:, 2] = -0.42 * sign * smooth(u), -0.2 * sign * smooth(u)
        out[:, 4] = 12.0 * smooth(2 * np.minimum(u, 1 - u))
    else:
        assert kind == "Wait", kind
    return out


class Script:
    """The exact motion: `rows` (n, 6) at HZ, in the first facing."""

    def __init__(self, track: Track) -> None:
        self.seconds = (track.num_frames - 1) / track.fps
        self.actions: list[dict[str, Any]] = list(track.provenance["timeline"])
        self.t = np.arange(int(self.seconds * HZ) + 1) / HZ
        self.rows, pose = np.zeros((len(self.t), 6)), np.zeros(6)
        for a in self.actions:
            at = np.append(self.t[self.t >= a["start_s"] - 1e-9], a["end_s"])
            change = kinematics(a, np.minimum(at, a["end_s"]) - a["start_s"])
            facing = np.radians(pose[3])
            left, forward = change[:, 0].copy(), change[:, 2].copy()
            change[:, 0] = np.cos(facing) * left + np.sin(facing) * forward
            change[:, 2] = np.cos(facing) * forward - np.sin(facing) * left
            self.rows[len(self.t) - len(at) + 1 :] = pose + change[:-1]
            pose = pose + change[-1]


class Truth:
    """One reading of a script, under one doubt."""

    def __init__(self, script: Script, turn: float, scale: float, stop_s: float, late: float) -> None:
        self.script, self.turn, self.scale, self.stop_s, self.late = script, turn, scale, stop_s, late
        a = np.radians(turn)
        x, y, z = script.rows[:, :3].T
        rotated = np.column_stack([np.cos(a) * x - np.sin(a) * z, y, np.cos(a) * z + np.sin(a) * x])
        self.signals = np.column_stack([rotated, script.rows[:, 3:], np.hypot(x, z)])
        self.signals[:, 3] -= turn
        step = np.hypot(np.diff(x), np.diff(z))
        self.gone = np.concatenate([[0.0], np.cumsum(step)])
        self.speed = np.append(step, 0.0) * HZ
        self.radial = self.signals[:, 6]
        self._runs: dict[str, list[tuple[int, int]]] = {}

    def span(self, window: str) -> tuple[int, int]:
        last = len(self.signals) - 1
        if window == "whole":
            return 0, last
        k, parts = int(window[1]), {"q": 4, "h": 2}[window[0]]
        return round((k - 1) * last / parts), round(k * last / parts)

    def runs(self, direction: str) -> list[tuple[int, int]]:
        """(start, end) samples of every movement in a direction: rising stretches, joined across small falls and short stops."""
        if direction not in self._runs:
            column, sign = AXIS[direction]
            s, least = sign * self.signals[:, column], LEAST[column] * self.scale
            rising = np.diff(s) * HZ > 0.3 * SEEN[column]
            edges = np.flatnonzero(np.diff(np.concatenate([[0], rising.astype(int), [0]])))
            joined: list[tuple[int, int]] = []
            for a, b in zip(edges[::2], edges[1::2], strict=True):
                if joined:
                    start, end = joined[-1]
                    top = end if s[end] >= s[b] else b
                    near = np.flatnonzero(np.abs(s[start : b + 1] - s[end]) <= SEEN[column])
                    stopped = (near.max() - near.min()) / HZ
                    fall = s[end] - s[end : a + 1].min()
                    if fall < least and (stopped < self.stop_s or min(s[end] - s[start], s[b] - s[a]) < 0.5 * least):
                        joined[-1] = (start, top)
                        continue
                joined.append((int(a), int(b)))
            cone = 0.25 * self.scale**1.5 if column in (0, 2, 6) else 0.0
            upright = 0.5 * least if column in (4, 5) else -np.inf
            self._runs[direction] = [
                (a, b) for a, b in joined if s[b] - s[a] >= max(least, cone * (self.gone[b] - self.gone[a])) and s[b] > upright
            ]
        return self._runs[direction]

    def sizes(self, direction: str, window: str) -> list[float]:
        """Amounts inside the window of the movements that are one within it."""
        column, sign = AXIS[direction]
        lo, hi = self.span(window)
        s = sign * self.signals[:, column]
        inside = [s[min(b, hi)] - s[max(a, lo)] for a, b in self.runs(direction) if min(b, hi) > max(a, lo)]
        return [float(v) for v in inside if v >= LEAST[column] * self.scale]

    def starts(self, direction: str) -> list[float]:
        """Seconds at which every movement in a direction (or named movement) visibly starts."""
        if direction not in AXIS:
            return [a + 0.4 * self.late * (b - a) for a, b in self.named(direction)]
        column, sign = AXIS[direction]
        s, out = sign * self.signals[:, column], []
        for a, b in self.runs(direction):
            amount = s[b] - s[a]
            seen = 0.02 * amount + self.late * min(0.3 * amount, 1.3 * TRIM[column])
            out.append((a + int(np.argmax(s[a : b + 1] - s[a] >= seen))) / HZ)
        return out

    def named(self, name: str) -> list[tuple[float, float]]:
        """(start s, end s) of every jump, crouch, ... ; from the script's actions."""
        acts, out = self.script.actions, []
        if name in ("jump", "run"):
            out = [(a["start_s"], a["end_s"]) for a in acts if a["action"].lower() == name]
        elif name in ("crouch", "stand_up"):
            down = name == "crouch"
            for a in acts:
                if a["action"] == "Crouch" and a["depth"] >= 0.3 * self.scale:
                    move = (a["end_s"] - a["start_s"] - a["hold_s"]) / 2
                    out.append((a["start_s"], a["start_s"] + move) if down else (a["end_s"] - move, a["end_s"]))
                elif a["action"] == ("Sit" if down else "StandUp"):
                    out.append((a["start_s"], a["start_s"] + a["move_s"]))
        elif name == "turn_around":
            for d in TURNS:
                runs = [(a, b) for a, b in self.runs(d) if abs(self.signals[b, 3] - self.signals[a, 3]) >= 135 * self.scale**0.4]
                out += [(a / HZ, b / HZ) for a, b in runs]
        elif name in ("walk", "still"):
            moving = self.speed > (0.4 * self.scale if name == "walk" else 0.1)
            if name == "still":
                rate = np.abs(np.gradient(self.signals[:, [1, 3]], axis=0)) * HZ
                moving = ~(moving | (rate[:, 0] > 0.08) | (rate[:, 1] > 15.0))
            edges = np.flatnonzero(np.diff(np.concatenate([[0], moving.astype(int), [0]])))
            for a, b in zip(edges[::2], edges[1::2], strict=True):
                b = min(int(b), len(self.gone) - 1)
                if name == "still" and (b - a) / HZ >= 1.0 * self.scale**0.6:
                    out.append((a / HZ, b / HZ))
                if name == "walk" and self.gone[b] - self.gone[a] >= 0.8 * self.scale and self.speed[a:b].max() < 2.2:
                    if out and a / HZ - out[-1][1] < 0.5 * self.stop_s:
                        out[-1] = (out[-1][0], b / HZ)
                    else:
                        out.append((a / HZ, b / HZ))
        return sorted(out)
