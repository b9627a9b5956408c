"""Installs a plug-in's package the way its author would, for the tests of the examples and of the documentation."""

import os
import shutil
import subprocess
import sys


def install(package, folder):
    """Install a package, without a network, into a folder of its own; return the environment with that on the path."""
    source, target = folder / "source", folder / "site"
    shutil.copytree(package, source)  # building leaves files beside the sources
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    path = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}


def run(environment, *arguments, cwd=None):
    """Run Python there, and return what it prints."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
