"""One trial: an installation under load, faults at random moments, and the account of it in the end."""

import asyncio
import contextlib
import json
import random
import shutil
import signal
import statistics
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import psutil

from .installation import Installation, NotThere, Patient
from .peers import Feeds, Load, Peers, Target

STATUSES = "select status, count(*) as n from area_executions group by status"
IDS = """
select coalesce(e.trigger_data->'body'->>'id', e.trigger_data->>'id') as id, e.id as execution, e.status, e.error_message
from area_executions e
"""
HURRY = "update pgqueuer set execute_after = now() where entrypoint = 'later' and status = 'queued' and execute_after > now()"
CAUGHT_UP = """
select extract(epoch from max(completed_at) - to_timestamp($1) at time zone 'utc') from area_executions
where created_at < to_timestamp($1) and completed_at > to_timestamp($1) at time zone 'utc'
  and not exists (select from execution_records r where r.execution_id = id
                  and jsonb_path_exists(r.attempts, '$[*] ? (@.error != null && @.interrupted == false)'))
"""
STUCK = """
select e.id, e.status, e.created_at, e.error_message, to_jsonb(r) as record, j.job_id, j.reason, j.due_at,
       p.status as job_status, p.execute_after, p.heartbeat
from area_executions e left join execution_records r on r.execution_id = e.id
left join execution_jobs j on j.execution_id = e.id left join pgqueuer p on p.id = j.job_id
where e.status in ('pending', 'running') order by e.id limit 20
"""
ATTEMPTS = """
select count(*) filter (where not coalesce((a->>'interrupted')::bool, false)) as failed,
       count(*) filter (where coalesce((a->>'interrupted')::bool, false)) as interrupted
from execution_records, jsonb_array_elements(attempts) a where a->>'error' is not null
"""


@dataclass
class Plan:
    """What a trial does."""

    seed: int
    rounds: list[str]  # kinds, in order
    rate: float = 200.0
    feeds: int = 50
    poll_every: float = 1.0
    publish_rate: float = 2.0  # items a second in all feeds together
    gap: tuple[float, float] = (3.0, 9.0)  # seconds between faults
    lead: float = 3.0  # seconds of load before the first and after the last
    misbehaving: float = 0.15  # share of requests that the target fails, in the windows when it does
    drain: float = 120.0
    where: Path | None = None
    log: Path | None = None  # where the installation's log is copied to
    hurry_leases: bool = False  # the leases of killed workers end at once, so that a short trial is short


@dataclass
class Fault:
    """One thing done to the installation."""

    kind: str
    at: float  # monotonic
    epoch: float
    what: str
    accepts_again: float | None = None
    runs_again: float | None = None
    caught_up: float | None = None


@dataclass
class Account:
    """What is found in the end. `broken` holds a sentence for each promise that was not kept."""

    seed: int
    faults: list[Fault] = field(default_factory=list)
    numbers: dict[str, object] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    errors: list[dict[str, object]] = field(default_factory=list)

    def table(self) -> str:
        """For people."""
        lines = [f"seed {self.seed}", ""]
        lines += [f"  {name:<44} {value}" for name, value in self.numbers.items()]
        lines += ["", f"  {'fault':<20}{'n':>4}{'accepts again':>24}{'runs again':>24}{'caught up':>24}"]
        kinds: dict[str, list[Fault]] = defaultdict(list)
        for fault in self.faults:
            kinds[fault.kind].append(fault)
        for kind, faults in kinds.items():
            cells = [_spread([getattr(fault, name) for fault in faults]) for name in _MEASURES]
            lines.append(f"  {kind:<20}{len(faults):>4}" + "".join(f"{cell:>24}" for cell in cells))
        lines += ["  (seconds: median, worst)", ""]
        lines += [f"  BROKEN: {sentence}" for sentence in self.broken] or ["  every promise kept"]
        return "\n".join([*lines, *(f"    {line}" for line in self.stuck)])

    def line(self) -> str:
        """For programs."""
        return json.dumps(
            {
                "seed": self.seed,
                **self.numbers,
                "broken": self.broken,
                "faults": [asdict(fault) for fault in self.faults],
            },
            default=str,
        )


_MEASURES = ("accepts_again", "runs_again", "caught_up")


def _spread(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.2f}, {max(known):.2f}" if known else "-"


class Trial:
    """Runs a plan."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self._random = random.Random(plan.seed)
        self.target = Target(random.Random(plan.seed + 1))
        self.feeds = Feeds(random.Random(plan.seed + 2), plan.feeds)
        self.account = Account(plan.seed)
        self._publishing = True

    async def run(self) -> Account:
        """From the start to the account."""
        with Installation(self.plan.where) as area:
            async with Peers(self.target, self.feeds) as peers:
                await area.ready()
                patient = Patient(area)
                try:
                    addresses = await self._set_up(area, peers)
                    await self._baselined(patient)
                    await self._under_load(area, patient, addresses)
                finally:
                    patient.close()
                    if self.plan.log:
                        shutil.copy(area.log, self.plan.log)
            self.account.numbers["graceful stop, s"] = round(area.stop(), 2)
            self.account.errors = area.logged()
        return self.account

    async def _set_up(self, area: Installation, peers: Peers) -> list[str]:
        """A user, four webhooks and the feeds; returns the webhooks' addresses."""
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(area.url, timeout=timeout) as session:

            async def post(path: str, body: dict[str, object], token: str = "") -> dict[str, object]:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                async with session.post(path, json=body, headers=headers) as answer:
                    assert answer.status == 201, await answer.text()
                    return await answer.json()

            account = {"email": "ann@example.org", "username": "ann", "password": "correct horse battery"}
            token = str((await post("/api/auth/register", account))["token"])

            async def area_of(action: dict[str, object], identity: str) -> dict[str, object]:
                call = {"url": f"{peers.url}/target", "body": f'{{"id": "{{{{{identity}}}}}"}}', "timeout_seconds": 2}
                reaction = {"component": "http.request", "parameters": call}
                return await post("/api/areas", {"name": "trial", "action": action, "reaction": reaction}, token)

            hooks = [await area_of({"component": "webhook.received"}, "body.id") for _ in range(4)]
            for number in range(self.plan.feeds):
                self.feeds.publish(number)  # what is there at first must not fire
                parameters = {"url": f"{peers.url}/feeds/{number}"}
                await area_of({"component": "rss.new_item", "parameters": parameters}, "id")
        return [str(hook["webhook_url"]) for hook in hooks]

    async def _baselined(self, patient: Patient) -> None:
        end = time.monotonic() + 120
        while await patient.value("select count(*) from triggers where baseline and source_id is not null"):
            assert time.monotonic() < end, "The first look at the feeds did not end."
            await asyncio.sleep(0.2)
        self.feeds.published.clear()

    async def _under_load(self, area: Installation, patient: Patient, addresses: list[str]) -> None:
        load = Load(random.Random(self.plan.seed + 3), addresses, self.plan.rate)
        due = Patient(area)
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            loading = tasks.create_task(load.run())
            polling = tasks.create_task(self._keep_due(area, due))
            publishing = tasks.create_task(self._publish())
            try:
                self.target.share = self.feeds.share = self.plan.misbehaving
                await asyncio.sleep(self.plan.lead)
                for kind in self.plan.rounds:
                    await self._one_fault(area, kind)
                await asyncio.sleep(self.plan.lead)
                load.stop()
                self.account.numbers["seconds under load"] = round(time.monotonic() - begun, 1)
                publishing.cancel()
                self.target.share = self.feeds.share = 0.0
                await loading
                await self._drain(patient)
            finally:
                publishing.cancel()
                polling.cancel()
        due.close()
        await self._settle(patient, load)

    async def _publish(self) -> None:
        while True:
            self.feeds.publish()
            await asyncio.sleep(self._random.expovariate(self.plan.publish_rate))

    async def _keep_due(self, area: Installation, patient: Patient) -> None:
        """Make the feeds due, which they would otherwise be every five minutes."""
        while True:
            await asyncio.sleep(self.plan.poll_every)
            with contextlib.suppress(TimeoutError, asyncpg.PostgresError):
                await patient.fetch("update sources set due_at = now() where due_at > now() and lease_until is null")
                if self.plan.hurry_leases and (owners := area.owners()):
                    await patient.fetch(
                        "update sources set lease_until = now() where lease_until > now() and lease_owner <> $1",
                        owners[-1],
                    )

    # Faults

    async def _one_fault(self, area: Installation, kind: str) -> None:
        # the world misbehaves in some of the rounds
        self.target.share = self._random.choice((0.0, self.plan.misbehaving))
        self.feeds.share = self._random.choice((0.0, self.plan.misbehaving))
        await asyncio.sleep(self._random.uniform(*self.plan.gap))
        fault = Fault(kind, time.monotonic(), time.time(), "")
        try:
            fault.what = await self._do(area, kind)
        except (NotThere, psutil.NoSuchProcess) as error:
            fault.kind, fault.what = f"{kind} (not up)", f"{error!r}"  # killed a moment ago, and not there yet
        self.account.faults.append(fault)

    async def _do(self, area: Installation, kind: str) -> str:
        match kind:
            case "web" | "worker":
                process = area.web if kind == "web" else area.worker
            case "postgres":
                process = area.postmaster
            case "backend":
                backends = area.backends()
                if not backends:
                    raise NotThere("backend")
                process = self._random.choice(backends)
            case "freeze":
                return await self._freeze(area, 10.0)
            case _:
                raise ValueError(kind)
        process.kill()
        return f"kill -9 {process.pid}"

    async def _freeze(self, area: Installation, seconds: float) -> str:
        """Nothing of PostgreSQL runs for a while: connections stay, and nobody answers."""
        postmaster = area.postmaster
        frozen = [postmaster, *postmaster.children(recursive=True)]
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            for entry in frozen:
                with contextlib.suppress(psutil.NoSuchProcess):
                    entry.send_signal(signal.SIGCONT)
        return f"stopped {len(frozen)} processes for {seconds:g} s"

    # The end

    async def _drain(self, patient: Patient) -> None:
        """Wait, bounded, until every item is seen and nothing waits; what is to be retried later is due now."""
        begun = time.monotonic()
        while time.monotonic() - begun < self.plan.drain:
            await patient.fetch(HURRY)
            statuses = {row["status"]: row["n"] for row in await patient.fetch(STATUSES)}
            missing = set(self.feeds.published) - {row["id"] for row in await patient.fetch(IDS)}
            if not missing and not statuses.get("pending") and not statuses.get("running"):
                break
            await asyncio.sleep(0.5)
        self.account.numbers["seconds to drain"] = round(time.monotonic() - begun, 1)

    async def _settle(self, patient: Patient, load: Load) -> None:
        """Compare what was sent and published with the log, and the log with what arrived."""
        await asyncio.sleep(1)  # a second execution of something would have a chance to show
        rows = await patient.fetch(IDS)
        executions: dict[str, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            executions[row["id"]].append(row)
        keys: dict[str, set[str]] = defaultdict(set)
        for key, arrivals in self.target.arrivals.items():
            for _, identity in arrivals:
                keys[identity].add(key)

        acknowledged = {sent.identity for sent in load.sent if sent.acknowledged}
        named = {sent.identity for sent in load.sent if sent.named}
        published = set(self.feeds.published)
        unknown = {sent.identity for sent in load.sent} - acknowledged
        statuses = Counter(row["status"] for row in rows)

        def check(sentence: str, result: set[str] | list[str]) -> None:
            if result:
                some = ", ".join(sorted(result)[:5])
                self.account.broken.append(f"{len(result)} of: {sentence}: {some}")

        check("acknowledged webhook without an execution", acknowledged - set(executions))
        check("named webhook never acknowledged", named - acknowledged)
        check("feed item without an execution", published - set(executions))
        check("more than one execution", {identity for identity, execution in executions.items() if len(execution) > 1})
        check("run with two idempotency keys", {identity for identity, key in keys.items() if len(key) > 1})
        check("execution of something that nobody sent", set(executions) - acknowledged - unknown - published)
        check(
            "execution still pending or running", {row["id"] for row in rows if row["status"] in ("pending", "running")}
        )
        check(
            "execution that did not succeed",
            [f"{row['id']} {row['status']}: {row['error_message']}" for row in rows
             if row["status"] not in ("pending", "running", "success")],
        )  # fmt: skip
        succeeded = {row["id"] for row in rows if row["status"] == "success"}
        check("success that the target never had", succeeded - set(self.target.fulfilled))
        check("arrival without a key", {identity for _, identity in self.target.arrivals.get("", [])})
        check(
            "answer that is no 2xx and no 503",
            [outcome for outcome in load.outcomes if outcome[0] in "345" and outcome != "503"],
        )
        for row in await patient.fetch(STUCK):
            self.account.stuck.append(str(dict(row)))

        arrivals = sum(len(arrival) for arrival in self.target.arrivals.values())
        tries = (await patient.fetch(ATTEMPTS))[0]
        took = sorted(sent.took for sent in load.sent if sent.took is not None)
        self.account.numbers |= {
            "webhooks sent": len(load.sent),
            "  acknowledged": len(acknowledged),
            "  not acknowledged, and run all the same": len(unknown & set(executions)),
            "  not acknowledged, and not run": len(unknown - set(executions)),
            "  sent again until acknowledged": sum(1 for sent in load.sent if sent.named and sent.tries > 1),
            "answers to the sender": dict(sorted(load.outcomes.items())),
            "acknowledged after, ms (median, 99%)": f"{_part(took, 0.5)}, {_part(took, 0.99)}",
            "feed items": len(published),
            "feed polls": dict(self.feeds.polls),
            "executions": dict(statuses),
            "the target's answers": dict(self.target.answers),
            "arrivals": arrivals,
            "repeated attempts (arrivals beyond the first)": arrivals - len(self.target.arrivals),
            "  of attempts that failed (log)": tries["failed"],
            "  of attempts that were interrupted (log)": tries["interrupted"],
            "jobs left in the queue": await patient.value("select count(*) from pgqueuer"),
        }
        await self._recoveries(patient, load)

    async def _recoveries(self, patient: Patient, load: Load) -> None:
        """How long each fault was felt."""
        first = {sent.identity: self.target.fulfilled.get(sent.identity) for sent in load.sent}
        for fault in self.account.faults:
            later = [sent for sent in load.sent if sent.begun > fault.at and sent.acknowledged]
            if later:
                fault.accepts_again = round(
                    min(event.acknowledged for event in later if event.acknowledged) - fault.at, 2
                )
            ran = [when for event in later if event.tries == 1 and (when := first[event.identity])]
            if ran:
                fault.runs_again = round(min(ran) - fault.at, 2)
            caught_up = await patient.value(CAUGHT_UP, fault.epoch)
            fault.caught_up = (
                round(float(caught_up), 2)
                if isinstance(caught_up, (int, float))
                else (round(float(str(caught_up)), 2) if caught_up is not None else None)
            )


def _part(ordered: list[float], share: float) -> str:
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000:.1f}" if ordered else "-"
