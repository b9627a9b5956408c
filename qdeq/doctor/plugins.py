"""Everything that is registered: qdeq's own backends, solvers and data sets, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterator

from qdeq.doctor.finding import Finding


def plugins() -> Iterator[Finding]:
    """Load every plug-in; one line for those of a kind and a package that work, one for each that does not."""
    from qdeq.plugins import BACKENDS, DATASETS, SOLVERS, installed

    for registry in (BACKENDS, SOLVERS, DATASETS):
        found = installed(registry)
        for package in dict.fromkeys(plugin.package for plugin in found):
            names = [plugin.name for plugin in found if plugin.ok and plugin.package == package]
            if names:
                yield Finding("plug-ins", f"{registry.kind}s", "ok", f"{', '.join(names)} ({package})", required=True)
        for plugin in found:
            if plugin.ok:
                continue
            name, own = f"{registry.kind} {plugin.name}", plugin.package.partition(" ")[0] == "qdeq"
            if plugin.mend:
                yield Finding("plug-ins", name, "missing", "needs an extra that is not installed", plugin.mend)
            else:
                mend = "install qdeq anew" if own else f"mend or uninstall {plugin.package or 'its package'}"
                what = " ".join((plugin.reason or "").split())
                yield Finding("plug-ins", name, "broken", what, mend, required=own and registry is SOLVERS)
