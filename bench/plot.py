"""The figures as one SVG: for each row, a bar for everybody's CPU per operation as a multiple of nono's."""

import html

WIDTH, LEFT, RIGHT, BAR, GAP = 860, 190, 120, 15, 4
LONGEST = 6.0  # a longer bar is cut, and says so
COLOURS = {"nono": "#1f6f54", "bare": "#8a8a8a", "peer": "#9db8d9"}


def groups(data, rows):
    """[(title, [(entrant, ratio, label)])]; nono is 1."""
    found = []
    for row in rows:
        one = data["load"].get(row.name, {})
        key = "cpu_s_gib" if any("cpu_s_gib" in entry for entry in one.values()) else "cpu_us"
        if key not in one.get("nono", {}):
            continue
        form = "{:.2f} s/GiB" if key == "cpu_s_gib" else "{:.1f} µs"
        found.append((row.title, [(name, entry[key] / one["nono"][key], form.format(entry[key]))
                                  for name, entry in one.items() if key in entry]))
    idle = data.get("idle") or {}
    if idle.get("nono"):
        found.append(("memory of an idle tunnel", [(name, value / idle["nono"], f"{value / 1024:.1f} KiB") for name, value in idle.items()]))
    for kind, one in (data.get("dns") or {}).items():
        if "nono" in one:
            nono = one["nono"]["per_cpu_second"]
            found.append((f"DNS, {kind}", [(name, nono / entry["per_cpu_second"], f"{1e6 / entry['per_cpu_second']:.1f} µs")
                                           for name, entry in one.items()]))
    return found


def text(x, y, words, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {extra}>{html.escape(words)}</text>'


def bar(y, name, ratio, label, scale):
    kind = "nono" if name.startswith("nono") else "bare" if "relay" in name or "stub" in name else "peer"
    length = max(1.0, min(ratio, LONGEST) * scale)
    cut = " ▸" if ratio > LONGEST else ""
    halo = 'fill="#555" paint-order="stroke" stroke="#fff" stroke-width="3"'
    weight = 'font-weight="600" ' if kind == "nono" else ""
    return [text(LEFT - 8, y + BAR - 4, name, weight + 'text-anchor="end"'),
            f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{COLOURS[kind]}"/>',
            text(LEFT + length + 6, y + BAR - 4, f"{label} ({ratio:.2f} ×{cut})", halo)]


def svg(data, rows):
    scale = (WIDTH - LEFT - RIGHT) / LONGEST
    parts, y = [], 62
    for title, bars in groups(data, rows):
        parts.append(text(8, y + 6, title, 'font-size="13" font-weight="600"'))
        y += 16
        bottom = y + len(bars) * (BAR + GAP)
        parts.append(f'<line x1="{LEFT + scale:.1f}" y1="{y - 3}" x2="{LEFT + scale:.1f}" y2="{bottom}" stroke="#1f6f54" '
                     'stroke-dasharray="3 3"/>')
        for name, ratio, label in bars:
            parts += bar(y, name, ratio, label, scale)
            y += BAR + GAP
        y += 24
    machine = data["machine"]
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>',
            text(8, 22, "What each costs, as a multiple of nono (shorter is better)", 'font-size="16" font-weight="700"'),
            text(8, 40, f"CPU of the proxy per operation; memory where it says so. {machine['time'][:10]}, {machine['cpu']}, "
                        f"{machine['cores']} cores, Linux {machine['kernel']}.", 'fill="#555"')]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"
