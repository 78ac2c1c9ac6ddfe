"""`area catalog`: services and their components."""

from typing import TYPE_CHECKING, Annotated

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.catalog import ComponentView, ServiceView
    from area.engine.state import State

app = typer.Typer(no_args_is_help=True, help="Show services, actions and reactions.")


@app.command()
def sync(as_json: console.AsJson = False) -> None:
    """Update the catalog in the database from the code.

    `area up`, `serve` and `worker` do this when they start.
    """
    from area import catalog

    async def work(state: "State") -> dict[str, int]:
        async with state.database.transaction() as session:
            return await catalog.sync(session, state.registry)

    count = console.with_state(work)
    if as_json:
        console.print_json(count)
        return
    console.echo(f"{count['services']} services, {count['components']} components, {count['variables']} variables.")


@app.command("list")
def list_(as_json: console.AsJson = False) -> None:
    """List all services with their actions and reactions."""
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
            "key": component.key,
            "type": component.type,
            "kind": component.kind,
            "title": component.title,
            "active": component.is_active,
            "quality": service.quality,
        }
        for service in services
        for component in (*service.actions, *service.reactions)
    ]
    columns = {
        "key": "COMPONENT",
        "type": "TYPE",
        "kind": "KIND",
        "active": "ACTIVE",
        "quality": "QUALITY",
        "title": "TITLE",
    }
    console.table(rows, columns, "No services yet. Run `area catalog sync`.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A service, or service.component.")], as_json: console.AsJson = False
) -> None:
    """Show a service, or a component with its parameters."""
    from area import catalog
    from area.kit.problems import NotFound
    from area.kit.text import did_you_mean

    async def work(state: "State") -> "ServiceView | ComponentView":
        async with state.database.sessions() as session:
            services = await catalog.services(session, state.registry, include_inactive=True)
        components = {part.key: part for service in services for part in (*service.actions, *service.reactions)}
        named: dict[str, ServiceView | ComponentView] = {
            **components,
            **{service.name: service for service in services},
        }
        named |= {service.slug: service for service in services}
        if name not in named:
            raise NotFound(f"No service or component {name!r}{did_you_mean(name, named)}")
        return named[name]

    view = console.with_state(work)
    if as_json:
        console.print_json(view)
    elif isinstance(view, catalog.ServiceView):
        _show_service(view)
    else:
        _show_component(view)


def _show_service(service: "ServiceView") -> None:
    console.echo(f"{service.name} ({service.slug}): {service.description}")
    auth = "needs a connection" if service.requires_auth else "needs no connection"
    console.echo(f"{service.quality or 'no longer installed'}, {auth}{'' if service.is_active else ', switched off'}\n")
    rows = [component.model_dump() for component in (*service.actions, *service.reactions)]
    console.table(
        rows, {"key": "COMPONENT", "type": "TYPE", "kind": "KIND", "title": "TITLE"}, "No actions or reactions."
    )


def _show_component(component: "ComponentView") -> None:
    console.echo(f"{component.key}: {component.title}\n\n{component.description}\n")
    console.echo(
        f"{component.type}{f' ({component.kind})' if component.kind else ''}"
        f"{'' if component.is_active else ', switched off'}"
    )
    if component.polling_interval:
        console.echo(f"polled every {component.polling_interval} s")
    if component.verified_by:
        console.echo(f"requests verified by: {component.verified_by}")
    columns = {
        "name": "NAME",
        "type": "TYPE",
        "needed": "REQUIRED",
        "placeholder": "EXAMPLE",
        "description": "DESCRIPTION",
    }
    for heading, variables in (("Parameters", component.parameters), ("Return values", component.return_values)):
        console.echo(f"\n{heading}")
        rows = [{**variable.model_dump(), "needed": not variable.nullable} for variable in variables]
        if heading == "Return values":
            columns.pop("needed")
        console.table(rows, columns, "None.")
