"""The parts of the running program, put together once: what `dcldm serve` and the window have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from bridge import ardour, live, reaper
from bridge.api import Api
from bridge.ardour import ArdourHost
from bridge.folder import FolderHost
from bridge.gate import Gate
from bridge.host import Host
from bridge.live import LiveHost
from bridge.osc import OscSocket
from bridge.outbox import Outbox
from bridge.reaper import ReaperHost
from bridge.spotting import Spotting
from dcldm_plugin.delivery import Delivery
from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.jobs import JobStore
from dcldm_plugin.library import Library
from dcldm_plugin.session import Listener, Session
from dcldm_plugin.settings import Settings


@dataclass(frozen=True, slots=True)
class Program:
    """What is running: each part is used directly, and closed by `running` alone."""

    settings: Settings
    library: Library
    jobs: JobStore
    engine: EngineProcess
    session: Session
    hosts: dict[str, Host]
    osc: OscSocket
    spotting: Spotting


def open_socket(settings: Settings, port: int | None = None) -> OscSocket:
    """The socket of the OSC API as the settings want it, at another port if one is given. Raises `DcldmError`."""
    if settings.lan and not settings.passcode:
        raise InvalidInput(
            "`lan` is on in settings.toml; set a `passcode` there too, or other machines can't be told apart."
        )
    return OscSocket(settings.osc_port if port is None else port, lan=settings.lan)


def make_hosts(settings: Settings) -> dict[str, Host]:
    """All hosts by name, not started."""
    hosts = (
        FolderHost(settings.watch_folder),
        ArdourHost(ardour.spool_folder(settings.home)),
        ReaperHost(reaper.spool_folder(settings.home), settings.reaper_port),
        LiveHost(live.spool_folder(settings.home), settings.live_port),
    )
    return {host.name: host for host in hosts}


@contextmanager
def running(settings: Settings, osc: OscSocket, listeners: Sequence[Listener] = ()) -> Iterator[Program]:
    """Open the library, start hosts and the OSC API on a bound socket; stop all of it in the end.

    `listeners` of the session miss nothing, also not what a DAW asks for at once. Raises `DcldmError`.
    """
    with ExitStack() as stack:
        library = stack.enter_context(closing(Library(settings.library_folder, settings.index, Delivery.of(settings))))
        jobs = stack.enter_context(closing(JobStore(settings.index)))
        engine = stack.enter_context(
            closing(
                EngineProcess(
                    settings.engine_folder,
                    idle_seconds=settings.idle_seconds,
                    log=settings.log_folder / "engine.log",
                    home=settings.home,
                    device=settings.device,
                )
            )
        )
        hosts = make_hosts(settings)
        session = Session(library, jobs, engine, hosts, commercial_only=settings.commercial_only)
        stack.callback(session.close)
        for listener in listeners:
            session.subscribe(listener)
        for host in hosts.values():
            host.start()
            stack.callback(host.stop)
        spotting = stack.enter_context(closing(Spotting(session, settings.home / "runs")))
        gate = Gate(settings.passcode if settings.lan else "")
        api = Api(session, library, hosts, osc, spotting, settings.model, gate)
        session.subscribe(api.follow)
        osc.start(api.receive, api.refuse)
        stack.callback(osc.stop)
        stack.enter_context(closing(Outbox(reaper.spool_folder(settings.home) / reaper.OUTBOX, api.receive)))
        yield Program(settings, library, jobs, engine, session, hosts, osc, spotting)
