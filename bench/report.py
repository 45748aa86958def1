"""Tables on the terminal and in Markdown, and the budgets: what was measured against what was promised."""

import statistics

KEYS = ("rate", "cpu_us", "cpu_s_gib", "p50_us", "p99_us", "per_cpu_second")


def medians(results):
    """{entrant: {key: median over the rounds}}"""
    return {name: {key: statistics.median(row[key] for row in rounds) for key in KEYS if key in rounds[0]}
            for name, rounds in results.items() if rounds}


def shown(value, form="{:,.0f}"):
    return "–" if value is None else form.format(value)


def draw(heads, lines):
    widths = [max(len(row[at]) for row in [heads, *lines]) for at in range(len(heads))]
    for row in [heads, *lines]:
        print("  " + "  ".join(cell.ljust(width) if at == 0 else cell.rjust(width)
                               for at, (cell, width) in enumerate(zip(row, widths))))


def load_table(row, summary):
    """(heads, lines) of one row of load."""
    bulk = any("cpu_s_gib" in one for one in summary.values())
    nono = summary.get("nono", {})
    key = "cpu_s_gib" if bulk else "cpu_us"
    heads = ["", f"{row.unit}s/s", "CPU s per GiB" if bulk else "CPU µs each", "p50 µs", "p99 µs", "its CPU / nono's"]
    lines = []
    for name, one in summary.items():
        ratio = one[key] / nono[key] if key in one and nono.get(key) else None
        timed = not bulk and one.get("p50_us")
        lines.append([name, shown(one["rate"]), shown(one.get(key), "{:.2f}" if bulk else "{:.1f}"),
                      shown(one["p50_us"] if timed else None), shown(one["p99_us"] if timed else None), shown(ratio, "{:.2f}")])
    return heads, lines


def idle_table(values):
    return ["", "PSS KiB each"], [[name, f"{value / 1024:.1f}"] for name, value in values.items()]


def dns_table(summaries):
    names = list(dict.fromkeys(name for one in summaries.values() for name in one))
    heads = ["queries per CPU-second", *summaries]
    return heads, [[name, *(shown(summaries[kind].get(name, {}).get("per_cpu_second")) for kind in summaries)] for name in names]


def launch_table(values):
    bare = values["bare"]["ms"] if "bare" in values else None
    return ["", "ms", "over bare"], [[name, f"{one['ms']:.2f}", f"{one['ms'] - bare:.2f}"] for name, one in values.items()]


def captured_table(values):
    heads = ["", "tunnels/s", "CPU µs each", "round trips/s", "p50 µs", "CPU µs each"]
    lines = []
    for way in values["connect"]:
        connect, trip = values["connect"][way], values["rtt"][way]
        lines.append([way, shown(connect["rate"]), f"{connect['cpu_us']:.1f}", shown(trip["rate"]), shown(trip["p50_us"]),
                      f"{trip['cpu_us']:.1f}"])
    return heads, lines


def tables(data, rows):
    """[(title, note, heads, lines)] of everything that was measured."""
    found = [(row.title, " ".join(row.notes), *load_table(row, data["load"][row.name])) for row in rows if data["load"].get(row.name)]
    if data.get("idle"):
        found.append((f"idle tunnels ({data['idle_tunnels']:,} held)", "", *idle_table(data["idle"])))
    if any(data.get("dns", {}).values()):
        found.append(("DNS stub", "", *dns_table(data["dns"])))
    for key, title in (("rules", "CONNECT by number of host rules"), ("workers", "CONNECT with one and two workers"),
                       ("sessions", "CONNECT by number of sessions")):
        if data.get(key):
            found.append((title, "", ["", "CPU µs each"], [[name, f"{one['cpu_us']:.1f}"] for name, one in data[key].items()]))
    if data.get("policy_decide"):
        found.append(("deciding alone, by the targets asked for", "", ["", "ns, 10 rules", "ns, 100,000 rules", "ratio"],
                      [[name, f"{few:.0f}", f"{many:.0f}", f"{share:.2f}"] for name, (few, many, share) in data["policy_decide"].items()]))
    if data.get("memory"):
        found.append(("memory over forward requests", "", ["requests", "RSS MiB"],
                      [[f"{count:,}", f"{rss / 2**20:.1f}"] for count, rss in data["memory"]]))
    if data.get("launch"):
        found.append(("launch of `true`", "", *launch_table(data["launch"])))
    if data.get("filter"):
        found.append(("system calls in the sandbox", "", ["", "ns bare", "ns there", "the filter's"],
                      [[call, f"{bare:.0f}", f"{there:.0f}", f"{there - bare:.0f}"] for call, (bare, there) in data["filter"].items()]))
    if data.get("captured"):
        found.append(("connections inside the sandbox", "", *captured_table(data["captured"])))
    return found


class Budgets:
    """Each line of the budget for which there are figures: {what, figure, bound, holds}."""

    def __init__(self, data):
        self.data, self.lines = data, []
        self.tunnels()
        self.requests()
        self.interception()
        self.names()
        self.scaling()
        self.launching()
        self.inside()

    def value(self, row, name, key):
        return self.data["load"].get(row, {}).get(name, {}).get(key)

    def at_most(self, what, value, base, bound, form="{:.2f} ×"):
        if value is None or not base:
            return
        figure = value / base
        self.lines.append({"what": what, "figure": form.format(figure), "bound": "at most " + form.format(bound),
                           "holds": figure <= bound})

    def at_least(self, what, value, base, bound, form="{:.2f} ×"):
        if value is None or not base:
            return
        figure = value / base
        self.lines.append({"what": what, "figure": form.format(figure), "bound": "at least " + form.format(bound),
                           "holds": figure >= bound})

    def cheaper(self, what, row, peer, bound):
        """Operations per CPU-second of the proxy: what one core can do, whatever the load can."""
        self.at_least(what, self.value(row, peer, "cpu_us"), self.value(row, "nono", "cpu_us"), bound)

    def tunnels(self):
        self.at_most("CONNECT: CPU, of a bare copy relay's", self.value("connect", "nono", "cpu_us"),
                     self.value("connect", "copy relay", "cpu_us"), 1.2)
        for row, word in (("down", "down"), ("up", "up")):
            self.at_most(f"bulk {word}: CPU per GiB, of a bare splice relay's", self.value(row, "nono", "cpu_s_gib"),
                         self.value(row, "splice relay", "cpu_s_gib"), 1.15)
        for peer, bound in (("haproxy", 1.0), ("copy relay", 0.9)):
            self.cheaper(f"round trips per CPU-second, of {peer}'s", "rtt", peer, bound)
        idle = self.data.get("idle", {}).get("nono")
        self.at_most("idle tunnel: KiB", idle, 1024, 4, "{:.1f}")

    def requests(self):
        self.cheaper("forward HTTP: requests per CPU-second, of trafficserver's", "http", "trafficserver", 1.4)
        self.cheaper("reverse HTTP: requests per CPU-second, of haproxy's", "reverse", "haproxy", 0.9)
        self.cheaper("reverse HTTP: requests per CPU-second, of trafficserver's", "reverse", "trafficserver", 1.6)

    def interception(self):
        self.cheaper("intercepted: requests per CPU-second, of squid's", "tls", "squid", 2.2)
        self.cheaper("intercepted: requests per CPU-second, of haproxy's", "tls", "haproxy", 0.65)
        for peer, bound in (("haproxy", 0.5), ("squid", 0.11)):
            self.at_most(f"intercepted handshakes: CPU, of {peer}'s", self.value("handshakes", "nono", "cpu_us"),
                         self.value("handshakes", peer, "cpu_us"), bound)
        self.at_most("intercepted bulk: CPU per GiB, of haproxy's", self.value("tlsdown", "nono", "cpu_s_gib"),
                     self.value("tlsdown", "haproxy", "cpu_s_gib"), 0.85)

    def names(self):
        for kind in ("blocked", "cached"):
            one = self.data.get("dns", {}).get(kind, {})
            nono = one.get("nono", {}).get("per_cpu_second")
            self.at_least(f"DNS {kind}: thousand queries per CPU-second", nono, 1000, 120, "{:.0f}")
            self.at_least(f"DNS {kind}: of dnsmasq's", nono, one.get("dnsmasq", {}).get("per_cpu_second"), 1)

    def scaling(self):
        rules, workers, sessions = (self.data.get(key, {}) for key in ("rules", "workers", "sessions"))
        self.at_most("100,000 host rules: CPU per CONNECT, of 10 rules'", rules.get("100,000 rules", {}).get("cpu_us"),
                     rules.get("10 rules", {}).get("cpu_us"), 1.2)
        for pattern, hosts in (("zipf", "all their hosts"), ("spread", "hosts spread evenly"), ("hot", "the same ten hosts"),
                               ("no_rule", "hosts in no rule")):
            decided = (self.data.get("policy_decide") or {}).get(pattern)
            if decided:
                self.at_most(f"100,000 host rules: deciding alone about {hosts}, of 10 rules'", decided[1], decided[0], 1.2)
        self.at_most("two workers: CPU per CONNECT, of one worker's", workers.get("2 workers", {}).get("cpu_us"),
                     workers.get("1 worker", {}).get("cpu_us"), 1.1)
        self.at_most("10,001 sessions: CPU per CONNECT, of one's", sessions.get("10,001 sessions", {}).get("cpu_us"),
                     sessions.get("1 session", {}).get("cpu_us"), 1.1)
        memory = self.data.get("memory") or []
        if len(memory) == 4:
            self.at_most(f"memory after {memory[3][0]:,} requests, of that after {memory[1][0]:,}", memory[3][1], memory[1][1], 1.05)

    def launching(self):
        launch = self.data.get("launch") or {}
        run = launch.get("nono run with proxy and audit")
        if run:
            self.at_most("nono run with the proxy: ms over bare", run["ms"] - launch["bare"]["ms"], 1, 5, "{:.1f}")
            self.at_most("nono run with the proxy: MiB PSS", run["pss_bytes"], 2**20, 12, "{:.1f}")
        if run and "bwrap --unshare-all" in launch:
            bwrap = launch["bwrap --unshare-all"]["ms"] - launch["bare"]["ms"]
            for name in ("nono run with proxy and audit", "nono run, network open"):
                self.at_most(f"{name}: over bare, of bwrap's", launch[name]["ms"] - launch["bare"]["ms"], bwrap, 1.5)

    def inside(self):
        # Making a socket costs some microseconds, which vary by more than the filter's part.
        for call in ("getppid", "openat of what is not there"):
            bare, there = (self.data.get("filter") or {}).get(call, (None, None))
            self.at_most(f"filter: ns of {call}", None if bare is None else max(0, there - bare), 1, 60, "{:.0f}")
        for mode, what in (("connect", "connections"), ("rtt", "round trips")):
            ways = (self.data.get("captured") or {}).get(mode, {})
            self.at_least(f"captured {what}: of the rate by CONNECT", ways.get("captured", {}).get("rate"),
                          ways.get("by CONNECT", {}).get("rate"), 0.95)


def print_all(data, rows):
    for title, note, heads, lines in tables(data, rows):
        print(f"\n{title}")
        draw(heads, lines)
        if note:
            print("  " + note)
    budgets = Budgets(data).lines
    if budgets:
        print("\nbudget")
        width = max(len(line["what"]) for line in budgets)
        for line in budgets:
            print(f"  {'holds ' if line['holds'] else 'MISSES'}  {line['what'].ljust(width)}  {line['figure']} ({line['bound']})")
    print()
    for problem in data["problems"]:
        print(f"INVALID: {' '.join(problem.split())}")


MATRIX = (("connect", "CONNECT µs"), ("rtt", "round trip µs"), ("down", "bulk down s/GiB"), ("up", "up s/GiB"), ("http", "forward HTTP µs"),
          ("reverse", "reverse + key µs"), ("tls", "intercepted µs"), ("handshakes", "handshake µs"), ("tlsdown", "intercepted bulk s/GiB"))


def matrix(data):
    """(heads, lines): who against what, in CPU time per operation; and memory of an idle tunnel."""
    used = [(row, head) for row, head in MATRIX if data["load"].get(row)]
    names = list(dict.fromkeys(name for row, _ in used for name in data["load"][row] if name != "direct"))
    idle = data.get("idle") or {}
    lines = []
    for name in sorted(names, key=lambda one: (not one.startswith("nono"), "relay" not in one)):
        line = [name]
        for row, _ in used:
            one = data["load"][row].get(name, {})
            line.append(shown(one.get("cpu_s_gib"), "{:.2f}") if "GiB" in dict(MATRIX)[row] else shown(one.get("cpu_us"), "{:,.1f}"))
        lines.append(line + ([f"{idle[name] / 1024:.1f}" if name in idle else "–"] if idle else []))
    return ["CPU of the proxy", *(head for _, head in used), *(["idle tunnel KiB"] if idle else [])], lines


def markdown_table(heads, lines):
    return ("| " + " | ".join(heads) + " |\n|---" + "|---:" * (len(heads) - 1) + "|\n"
            + "\n".join("| " + " | ".join(f"**{cell}**" if line[0] == "nono" else cell for cell in line) + " |" for line in lines) + "\n")


def markdown(data, rows):
    """What the README shows, with date and machine."""
    machine = data["machine"]
    busy = f" Other work ran beside it (load average {machine['load']:.0f}): ratios only, and those roughly." if machine["load"] > 1 else ""
    text = [f"{machine['time'][:10]}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; medians of "
            f"{data['rounds']} interleaved rounds, lower is better.{busy}\n"]
    if data["load"]:
        text.append(markdown_table(*matrix(data)))
        text.append(" ".join(dict.fromkeys(note for row in rows if data["load"].get(row.name) for note in row.notes)) + "\n")
    text += [markdown_table(heads, lines) for title, _, heads, lines in tables({**data, "load": {}, "idle": None}, rows)]
    budgets = Budgets(data).lines
    if budgets:
        text.append(markdown_table(["budget", "bound", "measured", ""], [
            [line["what"], line["bound"], line["figure"], "holds" if line["holds"] else "**misses**"] for line in budgets]))
    return "\n".join(text)
