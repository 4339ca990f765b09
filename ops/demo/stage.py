"""How the demo looks: one table that fills as things happen, one "why", one line of proof."""

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ops.cli.shown import styled
from ops.demo.play import Act, Told
from ops.demo.proof import Proof

_NARROWEST = 110


class Stage:
    """Shows the acts while they are played: live in a terminal, once at the end elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = max(self.console.width, _NARROWEST)
        self._live = Live(console=self.console, auto_refresh=False, transient=False)

    def __enter__(self) -> "Stage":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, acts: list[Act]) -> None:
        """The acts as they stand now."""
        if self.console.is_terminal:
            self._live.update(_scenes(acts), refresh=True)

    def conclude(self, acts: list[Act], proof: Proof) -> None:
        """The end: the table where it was not shown live, why one was refused, and the providers' own word."""
        if not self.console.is_terminal:
            self.console.print(_scenes(acts))
        self.console.print()
        self.console.print(_conclusion(acts, proof))


def _scenes(acts: list[Act]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", "notification", "202 after", "channel"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "202 after" else "left")
    table.add_column("seconds after it was accepted")
    for number, act in enumerate(acts, 1):
        head = (str(number), act.scene.title, f"{act.answer_ms:.0f} ms" if act.answer else "")
        if act.scene.repeats is not None and act.answer:
            words = Text.assemble(styled(act.answer["status"]), f" (duplicate of {act.scene.repeats + 1})")
            table.add_row(*head, "", words)
            continue
        if not act.deliveries:
            table.add_row(*head)
        for told in act.deliveries:
            table.add_row(*head, told.channel, _steps(told))
            head = ("", "", "")
    return table


def _steps(told: Told) -> Text:
    """What happened to a delivery, one step after the other; the last one is where it stands."""
    steps = [Text.assemble(styled(what), f" {after_s:.2f}") for what, after_s in told.steps]
    if not told.steps or told.steps[-1][0] != told.status:
        steps.append(styled(told.status))
    line = Text(" → ").join(steps)
    if told.reason and told.status not in ("sent", "delivered"):
        line.append(f" ({told.reason})")
    return line


def _conclusion(acts: list[Act], proof: Proof) -> Table:
    """Why one was refused, what the ledger says, what is not there: a word in front of each."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for question, answer in _reasons_why(acts):
        grid.add_row(question, answer)
    faults = [fault for act in acts for fault in act.faults(acts)] + list(proof.faults)
    for fault in faults:
        grid.add_row(Text("Wrong", style="red"), fault)
    if not faults:
        counts = f"{proof.taken} taken, {proof.put_off} put off, {proof.refused} refused"
        grid.add_row("Ledger", f"the providers' own book agrees: {counts}; none missing, none twice")
        grid.add_row("Device", f"its own log agrees: {proof.shown} shown; none missing, none twice")
    grid.add_row("Not yet", "campaigns, in-app messages, fallback from one channel to another")
    return grid


def _reasons_why(acts: list[Act]) -> list[tuple[str, str]]:
    """The first gate that said no, in words: what `explain` tells."""
    for number, act in enumerate(acts, 1):
        for gate in act.gates:
            if gate["verdict"] == "suppress" and act.scene.repeats is None:
                looked_at = ", ".join(f"{name} {value}" for name, value in (gate.get("inputs") or {}).items())
                question = f"Why no {gate.get('channel') or 'news'} in {number}?"
                return [
                    (question, f"the gate “{gate['gate']}” said {gate['reason']}"),
                    ("", f"it looked at: {looked_at or 'nothing else'}"),
                    ("", f"./carillon explain {act.answer['id']}"),
                ]
    return []
