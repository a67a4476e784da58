"""All of it put together: a request passes what stands in front, and comes to its handler."""

from __future__ import annotations

from fastapi.middleware.cors import CORSMiddleware

from agentkit import __version__
from agentkit.config import ServiceSettings
from agentkit.web import api, hooks, openai
from agentkit.web.crowd import Crowd
from agentkit.web.description import Described
from agentkit.web.gate import App, Gate
from agentkit.web.limits import Limits
from agentkit.web.problems import explain_errors
from agentkit.web.service import Service

ABOUT = (
    "Runs of workflows and agents on the models of this machine. All but `/health`, `/ready` and "
    "`/hooks/` takes `Authorization: Bearer TOKEN`."
)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def handlers(service: Service) -> Described:
    """What answers requests that were let in."""
    app = Described(
        title="agentkit",
        version=__version__,
        description=ABOUT,
        max_body_size=service.runtime.settings.service.body,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    explain_errors(app)
    for router in (*api.ROUTERS, *openai.routers(service.runtime.settings.service.upload)):
        app.include_router(router)
    app.include_router(hooks.router(service.scheduling))
    return app


def application(service: Service, *, secret: str, port: int) -> App:
    """The whole ASGI application, as it listens on a port."""
    settings: ServiceSettings = service.runtime.settings.service
    crowd = Crowd(
        handlers(service),
        full=service.runtime.full,
        usual=service.runtime.settings.roles.chat,
        most=settings.body,
    )
    limited = Limits(crowd, requests=settings.requests, rate=settings.rate)
    gate = Gate(
        limited,
        secret=secret,
        tokens=service.tokens,
        port=port,
        names=settings.names,
        origins=settings.origins,
        loopback=settings.host in LOOPBACK,
    )
    counted = service.metrics.counted(gate)
    if not settings.origins:
        return counted
    return CORSMiddleware(
        counted,
        allow_origins=settings.origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
    )
