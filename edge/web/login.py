"""Login and logout over HTTP. The answer to a wrong login does not say which part is wrong."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from edge.web.access import SESSION_NS
from edge.web.dependencies import RESPONSES, StateDep
from edge.web.guard import cookie_of
from edge.web.responses import DoneResponse

log = logging.getLogger(__name__)
router = APIRouter(prefix="/api", responses=RESPONSES, tags=["login"])


class LoginRequest(BaseModel):
    """A name and its password; when the node only has a token, the token as password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: Annotated[str, Field(max_length=200)] = ""
    password: Annotated[str, Field(max_length=1000, repr=False)]


@dataclass(frozen=True, slots=True)
class SessionResponse:
    """The user of the page. ``guarded``: a login is required; ``csrf`` goes into X-Edge-CSRF of every change."""

    user: str | None
    csrf: str
    guarded: bool
    asks_name: bool


@router.get("/session")
def session(shared: StateDep, request: Request) -> SessionResponse:
    """The session of this browser."""
    state, access = request.state, shared.authenticator
    held = state.session
    user = state.user if held is not None or not access.is_guarded or state.user == "token" else None
    return SessionResponse(user, held.csrf if held is not None else "", access.is_guarded, access.has_password)


@router.post("/login")
def log_in(shared: StateDep, request: Request, response: Response, credentials: LoginRequest) -> SessionResponse:
    """Begin a session, with a cookie for this page only."""
    access, guard, address = shared.authenticator, request.state.guard, request.state.address
    if not access.is_guarded:
        raise HTTPException(409, "no login is asked for here")
    if not access.may_attempt(address):
        raise HTTPException(429, "too many wrong logins; wait a minute", {"retry-after": "60"})
    opened = access.log_in(credentials.username, credentials.password, address)
    if opened is None:
        log.warning("web: a login from %s was wrong", address)
        raise HTTPException(403, "the name or the password is wrong")
    value, held = opened
    response.set_cookie(
        guard.cookie,
        value,
        max_age=SESSION_NS // 1_000_000_000,
        path="/",
        secure=guard.is_secure,
        httponly=True,
        samesite="strict",
    )
    return SessionResponse(held.user, held.csrf, True, access.has_password)


@router.post("/logout")
def log_out(shared: StateDep, request: Request, response: Response) -> DoneResponse:
    """End the session."""
    guard = request.state.guard
    value = cookie_of(request.headers.get("cookie", ""), guard.cookie)
    if value:
        shared.authenticator.log_out(value)
    response.delete_cookie(guard.cookie, path="/", secure=guard.is_secure, httponly=True, samesite="strict")
    return DoneResponse("logged out")
