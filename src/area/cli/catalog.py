"""`area catalog`: services, and what they offer."""

from typing import TYPE_CHECKING, Annotated

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.catalog import ComponentView, ServiceView
    from area.engine.state import State

app = typer.Typer(no_args_is_help=True, help="Services, their actions and reactions.")


@app.command()
def sync() -> None:
    """Bring the catalog in the database to what the code offers; `area up`, `serve` and `worker` do it by themselves."""
    from area import catalog

    async def work(state: "State") -> dict[str, int]:
        async with state.database.transaction() as session:
            return await catalog.sync(session, state.registry)

    count = console.with_state(work)
    console.echo(f"{count['services']} services, {count['components']} components, {count['variables']} variables.")


@app.command("list")
def list_(as_json: console.AsJson = False) -> None:
    """List every service with its actions and reactions."""
    from area import catalog

    async def work(state: "State") -> "list[ServiceView]":
        async with state.database.sessions() as session:
            return await catalog.services(session, state.registry, include_inactive=True)

    services = console.with_state(work)
    if as_json:
        console.print_json(services)
        return
    rows = [
        {
            "key": one.key,
            "type": one.type,
            "kind": one.kind,
            "title": one.title,
            "active": one.is_active,
            "quality": service.quality,
        }
        for service in services
        for one in (*service.actions, *service.reactions)
    ]
    columns = {
        "key": "COMPONENT",
        "type": "TYPE",
        "kind": "KIND",
        "active": "ACTIVE",
        "quality": "QUALITY",
        "title": "WHAT",
    }
    console.table(rows, columns, "There is no service. Run `area catalog sync`.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A service, or service.component.")], as_json: console.AsJson = False
) -> None:
    """Show a service, or a component with its parameters and return values."""
    from area import catalog
    from area.kit.problems import NotFound
    from area.kit.text import did_you_mean

    async def work(state: "State") -> "ServiceView | ComponentView":
        async with state.database.sessions() as session:
            services = await catalog.services(session, state.registry, include_inactive=True)
        components = {one.key: one for service in services for one in (*service.actions, *service.reactions)}
        named: dict[str, ServiceView | ComponentView] = {**components, **{one.name: one for one in services}}
        named |= {one.slug: one for one in services}
        if name not in named:
            raise NotFound(f"There is no service or component {name!r}{did_you_mean(name, named)}")
        return named[name]

    found = console.with_state(work)
    if as_json:
        console.print_json(found)
    elif isinstance(found, catalog.ServiceView):
        _show_service(found)
    else:
        _show_component(found)


def _show_service(service: "ServiceView") -> None:
    console.echo(f"{service.name} ({service.slug}): {service.description}")
    auth = "needs a connection" if service.requires_auth else "needs no connection"
    console.echo(
        f"{service.quality or 'no longer in the code'}, {auth}{'' if service.is_active else ', switched off'}\n"
    )
    rows = [one.model_dump() for one in (*service.actions, *service.reactions)]
    console.table(rows, {"key": "COMPONENT", "type": "TYPE", "kind": "KIND", "title": "WHAT"}, "It offers nothing.")


def _show_component(component: "ComponentView") -> None:
    console.echo(f"{component.key}: {component.title}\n\n{component.description}\n")
    console.echo(
        f"{component.type}{f' ({component.kind})' if component.kind else ''}{'' if component.is_active else ', switched off'}"
    )
    if component.polling_interval:
        console.echo(f"asked every {component.polling_interval} s")
    if component.verified_by:
        console.echo(f"requests are checked by: {component.verified_by}")
    columns = {"name": "NAME", "type": "TYPE", "needed": "NEEDED", "placeholder": "EXAMPLE", "description": "WHAT"}
    for heading, variables in (("Parameters", component.parameters), ("Return values", component.return_values)):
        console.echo(f"\n{heading}")
        rows = [{**one.model_dump(), "needed": not one.nullable} for one in variables]
        if heading == "Return values":
            columns.pop("needed")
        console.table(rows, columns, "None.")
