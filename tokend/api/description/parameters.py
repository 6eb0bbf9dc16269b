"""What stands in paths, queries and headers."""

from __future__ import annotations

from typing import Any

Shape = dict[str, Any]

NAME: Shape = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}


def in_path(name: str, shape: Shape, description: str = "") -> dict[str, Any]:
    return _parameter("path", name, shape, description, required=True)


def in_query(
    name: str, shape: Shape, description: str = "", *, required: bool = False
) -> dict[str, Any]:
    return _parameter("query", name, shape, description, required=required)


def in_header(name: str, shape: Shape, description: str = "") -> dict[str, Any]:
    return _parameter("header", name, shape, description, required=False)


def _parameter(
    where: str, name: str, shape: Shape, description: str, *, required: bool
) -> dict[str, Any]:
    said = {"description": description} if description else {}
    return {"name": name, "in": where, "required": required, **said, "schema": shape}


APP = in_path("app", NAME, "as the configuration names it")
