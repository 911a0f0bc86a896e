"""What a person looks like: mannequin-x's skinned body in clothes, with a face in front and hair on the back of the head."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.performer.stage import generator
from builder.render.body import Body
from builder.render.skeleton import INDEX, REST_M, local_rotations
from builder.render.tailor import Skin, limbs, shirt, trousers
from builder.render.tailor import skin as skin_of
from builder.types import Floats, SetupError

SKINS = ((0.93, 0.76, 0.65), (0.86, 0.66, 0.52), (0.74, 0.53, 0.39), (0.55, 0.37, 0.26), (0.40, 0.26, 0.19))
HAIRS = ((0.08, 0.06, 0.05), (0.20, 0.12, 0.07), (0.36, 0.22, 0.10), (0.62, 0.46, 0.22), (0.45, 0.16, 0.07), (0.42, 0.41, 0.40))
HEAD = INDEX["head"]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A skinned surface at rest: vertices, normals, colours (V, 3), joints and weights (V, 4), triangles (F, 3)."""

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    colours: NDArray[np.float32]
    joints: NDArray[np.float32]
    weights: NDArray[np.float32]
    faces: NDArray[np.int32]


def mannequin() -> Any:
    """The body model of mannequin-x.  Raises SetupError with what to install when it is missing."""
    try:
        from mannequin import Mannequin  # type: ignore[import-untyped]
    except ImportError as error:
        raise SetupError(f"cannot draw a person: {error}; install it with: pip install 'humanmovevqa[render]'") from None
    return Mannequin("wooden")


def matrices(model: Any, body: Body) -> NDArray[np.float32]:
    """What moves resting vertices into the world, (T, 54, 4, 4): every joint's transform after its resting place, body size included."""
    from scipy.spatial.transform import Rotation

    local = Rotation.from_matrix(local_rotations(body.rotations).reshape(-1, 3, 3)).as_rotvec().reshape(-1, len(REST_M), 3)
    pose = model.rest_pose(batch_dims=(len(local),), dtype=np.float64)
    pose["global_rotation"], pose["body_pose"] = local[:, 0], local[:, 1:]
    moved = model.joint_transforms(pose)
    moved[..., :3, 3] += (body.joints_m[:, 0] / body.scale - moved[:, 0, :3, 3])[:, None]
    rest = model.joint_transforms(model.rest_pose(dtype=np.float64))
    moved[..., :3, 3] -= np.einsum("tjab,jb->tja", moved[..., :3, :3], rest[:, :3, 3])
    moved[..., :3, :] *= body.scale
    return np.asarray(moved, dtype=np.float32)


def dressed(model: Any, *identity: object) -> Mesh:
    """The person of this identity: skin, hair, clothes and shoes in their own colours."""
    rng = generator("figure", *identity)
    skin, hair = (np.array(choices[int(rng.integers(len(choices)))]) for choices in (SKINS, HAIRS))
    hue = rng.random()
    top = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.35, 0.85), rng.uniform(0.5, 0.95)))
    trouser = np.array(colorsys.hsv_to_rgb((hue + rng.uniform(0.3, 0.7)) % 1, rng.uniform(0.15, 0.5), rng.uniform(0.18, 0.45)))
    shoe = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.5), rng.choice([0.15, 0.9])))
    long_sleeves, long_hair, girth = rng.random() < 0.5, rng.random() < 0.5, rng.uniform(0.92, 1.12)
    doll = _doll(model)
    cloth = [
        _worn(skin_of(limbs()), skin),
        _worn(skin_of(trousers(girth)), trouser),
        _worn(skin_of(shirt(girth, bool(long_sleeves))), top),
    ]
    bare = {HEAD: skin, **{joint: skin for joint in range(INDEX["left_wrist"], len(model.joint_names))}}
    bare |= {INDEX[f"{side}_{part}"]: shoe for side in ("left", "right") for part in ("ankle", "foot")}
    return _joined([*cloth, _kept(doll, bare), *_head(doll, skin, hair, bool(long_hair))])


def _doll(model: Any) -> Mesh:
    """mannequin-x's own surface."""
    vertices, faces = np.asarray(model.vertices(model.rest_pose()), dtype=np.float64), np.asarray(model.faces)
    return _mesh(vertices, faces, np.ones(3), model._skin_joint_indices, model._skin_weights)


def _mesh(
    vertices: Floats, faces: NDArray[Any], colours: Floats, joints: NDArray[Any], weights: NDArray[Any], normals: Floats | None = None
) -> Mesh:
    """A mesh of any arrays; one colour (3,) will do for all, and normals follow from the faces when none are given."""
    normals = _normals(vertices, faces) if normals is None else normals / np.linalg.norm(normals, axis=1, keepdims=True)
    colours = np.broadcast_to(colours, vertices.shape)
    single = [np.asarray(a, dtype=np.float32) for a in (vertices, normals, colours, joints, weights)]
    return Mesh(single[0], single[1], single[2], single[3], single[4], np.asarray(faces, dtype=np.int32))


def _kept(doll: Mesh, colours: dict[int, Floats]) -> Mesh:
    """The parts of the doll that the given joints move, each in its colour: head, hands and feet."""
    main = doll.joints[np.arange(len(doll.joints)), doll.weights.argmax(axis=1)].astype(int)
    kept = np.isin(main, list(colours))
    number = np.cumsum(kept) - 1
    faces = doll.faces[kept[doll.faces].all(axis=1)]
    tint = np.array([colours[joint] for joint in main[kept]], dtype=np.float32)
    return Mesh(doll.vertices[kept], doll.normals[kept], tint, doll.joints[kept], doll.weights[kept], number[faces].astype(np.int32))


def _worn(skin: Skin, colour: Floats) -> Mesh:
    return _mesh(skin.vertices, skin.faces, colour, skin.joints, skin.weights)


def _head(body: Mesh, skin: Floats, hair: Floats, long_hair: bool) -> list[Mesh]:
    """Eyes, brows, nose, mouth and ears on the front of the head's surface, and a cap of hair over its top and back."""
    ours = (body.joints[:, 0:4] * (body.weights > 0.5)).max(axis=1) == HEAD
    head = body.vertices[ours].astype(float)
    top, low = head[:, 1].max(), head[:, 1].min()
    middle = np.array([0.0, (top + low) / 2, (head[:, 2].max() + head[:, 2].min()) / 2])
    tall, wide = top - low, head[:, 0].max() - head[:, 0].min()

    def at(across: float, up: float, proud: float = 0.0) -> Floats:
        """The foremost point of the head at a share of its half width and of its height."""
        x, y = across * wide / 2, low + up * tall
        near = head[np.argsort(np.hypot(head[:, 0] - x, head[:, 1] - y))[:30]]
        front = near[near[:, 2] > middle[2]]
        return np.array([x, y, np.quantile(front[:, 2], 0.8) + proud])

    lips, dark, white = skin * np.array([0.75, 0.42, 0.42]), np.array([0.08, 0.06, 0.05]), np.array([0.95, 0.95, 0.93])
    parts = [_ball(at(0, 0.43, 0.004), (0.016, 0.024, 0.022), skin * 0.93), _ball(at(0, 0.24, -0.004), (0.027, 0.008, 0.010), lips)]
    for side in (-1.0, 1.0):
        eye = at(side * 0.42, 0.56, -0.006)
        parts += [_ball(eye, (0.017, 0.010, 0.012), white), _ball(eye + np.array([0, 0, 0.007]), (0.0075, 0.0085, 0.007), dark)]
        parts += [_ball(at(side * 0.42, 0.66, -0.003), (0.023, 0.005, 0.009), hair * 0.8)]
        parts += [_ball([side * (wide / 2 + 0.002), low + 0.5 * tall, middle[2] - 0.01], (0.012, 0.030, 0.018), skin * 0.95)]
    inside = np.flatnonzero(ours)
    renumbered = np.full(len(body.vertices), -1)
    renumbered[inside] = np.arange(len(inside))
    faces = renumbered[body.faces]
    faces = faces[(faces >= 0).all(axis=1)]
    centre = head[faces].mean(axis=1)
    back = (middle[2] + 0.25 * (head[:, 2].max() - middle[2]) - centre[:, 2]) / (tall / 2)
    line = low + tall * (0.80 - np.clip(back, 0, 1) * (1.2 if long_hair else 0.75))
    cap = faces[centre[:, 1] > line]
    raised = head + _normals(head, faces) * (0.014 if not long_hair else 0.02)
    shade = hair * (0.85 + 0.3 * generator("hair", len(head)).random((len(head), 1)))
    return [*parts, _rigid(raised, cap, shade)]


def _ball(centre: Floats | list[float], radii: tuple[float, float, float], colour: Floats) -> Mesh:
    """An ellipsoid that moves with the head."""
    rows, columns = 9, 12
    down, around = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False), indexing="ij")
    unit = np.stack([np.sin(down) * np.cos(around), np.cos(down), np.sin(down) * np.sin(around)], axis=-1).reshape(-1, 3)
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns)).ravel()
    second = (np.arange(rows - 1)[:, None] * columns + (np.arange(columns) + 1) % columns).ravel()
    faces = np.concatenate([np.stack([first, second, first + columns], 1), np.stack([second, second + columns, first + columns], 1)])
    return _rigid(np.asarray(centre) + unit * radii, faces, np.tile(colour, (len(unit), 1)), unit / np.array(radii))


def _rigid(vertices: Floats, faces: NDArray[Any], colours: Floats, normals: Floats | None = None) -> Mesh:
    """A surface that moves with the head."""
    weights = np.tile([1.0, 0.0, 0.0, 0.0], (len(vertices), 1))
    return _mesh(vertices, faces, colours, np.full((len(vertices), 4), HEAD), weights, normals)


def _normals(vertices: Floats, faces: NDArray[Any]) -> Floats:
    """Smooth unit normals (V, 3)."""
    corners = vertices[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    out = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(out, faces[:, corner], flat)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12))


def _joined(meshes: list[Mesh]) -> Mesh:
    start, faces = 0, []
    for mesh in meshes:
        faces.append(mesh.faces + start)
        start += len(mesh.vertices)
    joined = [np.concatenate([getattr(m, name) for m in meshes]) for name in ("vertices", "normals", "colours", "joints", "weights")]
    return Mesh(joined[0], joined[1], joined[2], joined[3], joined[4], np.concatenate(faces).astype(np.int32))
