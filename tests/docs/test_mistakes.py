"""The tests of the documentation find what they are for: each mistake here is planted in a page, and has to be seen."""

import pytest
import test_blocks
import test_commands
import test_links
import test_names
from doc_pages import ROOT, anchors, blocks, links

GOOD = """# A page

See [above](#a-page), [this](page.md) and `training.epochs: 3`.

```console
$ qdeq train configs/digits.yaml --out runs/a
$ qdeq eval runs/a
```
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Write a page, and return its path; the working folder is an empty one."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def write(text):
        path = tmp_path / "page.md"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def console(text):
    return f"```console\n{text}\n```\n"


COMMANDS = {
    "$ qdeq trian configs/digits.yaml": "no such command",
    "$ qdeq train configs/digits.yaml --epochs 3": "No such option",
    "$ qdeq train configs/digit.yaml": "cannot be read",
    "$ qdeq train configs/digits.yaml --set training.epoch=3": "unknown key",
    "$ qdeq train configs/digits.yaml --set training.epochs=many": "training.epochs",
    "$ qdeq train configs/digits.yaml --solver andersen": "andersen",
    "$ qdeq train configs/digits.yaml --backend torch,cirq": "unknown backend",
    "$ qdeq compare configs/digits.yaml --backends torch,quirq": "no backend of this name",
    '$ qdeq solve-study configs/digits.yaml --solvers "{name: anderson, memry: 3}"': "memry",
    "$ qdeq check-solver anderson --set memory=none": "memory",
    "$ qdeq eval runs/never": "no command before makes this run",
    "$ qdeq train configs/digits.yaml &&\\\n  qdeq report runs/digit": "no command before makes this run",
    "$ for s in 0 1; do qdeq train configs/digits.yaml --sed seed=$s; done": "No such option",
    "$ qdeq reproduce mnist5": "mnist5",
    "$ qdeq sweep configs/digits.yaml": "SpecError: configs/digits.yaml",
    "$ qdeq check-solver --list\n12 checks": "it prints something else",
    "$ make tests": "no such target",
    "$ make test ARG=-x": "no such variable",
    '$ pip install "qdeq[cirk]"': "no such extra",
    "$ pip install -c constraint.txt -e .": "there is no such file",
    "$ pip install ./mine": "there is no such file",
    "$ pip install --upgrade qdec": "not qdeq",
    "$ python -m benchmarks.step --fast": "unrecognized arguments",
    "$ python -m benchmarks.stepp": "No module named",
    "$ python examples/solve.py": "there is no such file",
    "$ python -m pytest tests/solver/test_x.py": "there is no such file",
    "$ torchrun --nprocs 2 -m qdeq train configs/digits.yaml": "torchrun",
    "$ torchrun --nproc-per-node 2 -m qdeq train configs/digits.yaml --ou x": "No such option",
    "$ srun --task=3 qdeq train configs/digits.yaml": "no option of SLURM",
    "$ ray start --heads": "No such option",
    "$ qdeqq train": "do not know",
}


@pytest.mark.parametrize(("text", "message"), COMMANDS.items(), ids=COMMANDS)
def test_a_command_that_would_fail_is_found(page, tmp_path, text, message):
    found = test_commands.faults(page(console(text)), tmp_path / "work")
    assert len(found) == 1
    assert message in found[0]


def test_a_script_that_bash_or_slurm_would_refuse_is_found(page, tmp_path):
    script = "```bash\n#SBATCH --node=2\nif true; then\n  qdeq eval runs/none\n```\n"
    found = "\n".join(test_commands.faults(page(script), tmp_path / "work"))
    for message in ("syntax error", "--node=2", "no command before"):
        assert message in found


BLOCKS = {
    "```yaml\nmodel: {qubit: 4}\n```\n": "unknown key",
    "```yaml\nmodel: {qubits: 3, encoding: amplitude}\ndata: {dataset: digitz}\n```\n": "digitz",
    '```yaml title="configs/sweeps/x.yaml"\nbase: ../digits.yaml\nseed: [1]\nname: x\n```\n': "unknown key",
    '```yaml title="configs/sweeps/x.yaml"\nbase: ../digit.yaml\nseeds: [1]\nname: x\n```\n': "cannot be read",
    '```yaml title="configs/digits.yaml"\nname: digits\n```\n': "is not what configs/digits.yaml holds",
    "```python\nfor\n```\n": "SyntaxError",
    "<!-- not run: no -->\n```python\n1 / 0\n```\n": "no good reason",
    "<!-- not run: it takes too long here -->\n```python\nx = = 1\n```\n": "SyntaxError",
    "<!-- not run: it would be refused here -->\n```yaml\na: [1\n```\n": "ParserError",
    "```toml\n[project\n```\n": "TOMLDecodeError",
    "```json\n{'a': 1}\n```\n": "JSONDecodeError",
    "```\nqdeq train\n```\n": "has no language",
    "Try:\n\n    qdeq trian\n": "only indented",
    "```sh\nqdeq trian\n```\n": "has no language",
    "```text\n$ qdeq trian\n```\n": "is not checked",
}


@pytest.mark.parametrize(("text", "message"), BLOCKS.items(), ids=range(len(BLOCKS)))
def test_a_block_that_cannot_be_read_is_found(page, tmp_path, text, message):
    found = test_blocks.faults(page(text), tmp_path / "work")
    assert len(found) == 1
    assert message in found[0]


LINKS = {
    "[a](gone.md)": "no such file",
    "[a](page.md#nowhere)": "no such heading",
    "[a](#nowhere)": "no such heading",
    "[two\nlines](gone.md)": "no such file",
    "[`code`](gone.md 'title')": "no such file",
    "[![alt](gone.png)](page.md)": "no such file",
    "![](page.md)": "without a text",
    '<a href="gone.md">a</a>': "no such file",
    '<img src="gone.png" alt="x">': "no such file",
    "[a](http://arxiv.org/abs/2410.23940)": "https://host/path",
    "[a](https://arxiv/abs/2410.23940)": "https://host/path",
    "[a](https://arxiv.org/abs/2410.23941)": "external_links.txt",
    "<https://example.com/>": "external_links.txt",
    "[a](work)": "a folder",
}


@pytest.mark.parametrize(("text", "message"), LINKS.items(), ids=LINKS)
def test_a_dead_link_is_found(page, text, message):
    found = test_links.faults(page(f"# A page\n\n{text}\n"))
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize("code", ["training.epoch", "solver.memry: 3", "qdeq train CONFIG --set model.qubit=..."])
def test_a_key_that_there_is_not_is_found(page, code):
    assert len(test_names.faults(page(f"Set `{code}`."))) == 1


def test_nothing_is_found_in_a_good_page(page, tmp_path):
    path = page(GOOD)
    work = tmp_path / "work"
    assert test_commands.faults(path, work) + test_links.faults(path) + test_names.faults(path) == []


def test_output_is_compared_but_for_the_last_digits_of_numbers():
    assert test_blocks.alike("4 of 5:  1.00e-05", "4 of 5: 1.04e-05\n")
    assert not test_blocks.alike("4 of 5: 1.00e-05", "4 of 5: 1.10e-05")
    assert not test_blocks.alike("4 of 5", "3 of 5")
    assert not test_blocks.alike("converged 0.5", "failed 0.5")


def test_blocks_are_found_where_they_hide(page):
    text = "- a list\n\n    ```python\n    x = 1\n    ```\n\n~~~yaml\nname: a\n~~~\n\n"
    text += "````text\n```python\ny\n```\n````\n"
    found = blocks(page(text))
    assert [(block.language, block.line, block.text) for block in found] == [
        ("python", 4, "x = 1\n"),
        ("yaml", 8, "name: a\n"),
        ("text", 12, "```python\ny\n```\n"),
    ]


def test_anchors_are_those_of_the_built_page():
    text = "# `qdeq` train\n## It's 1 % of *all*\n## Same\n## Same\n### Named { #own }\n```\n# no heading\n```\n"
    assert anchors(text) == {"qdeq-train", "its-1-of-all", "same", "same_1", "own"}


def test_links_in_code_are_no_links(page):
    assert links(page("`[a](gone.md)`\n\n```text\n[a](gone.md)\n```\n")) == []


def test_the_pages_are_all_there():
    assert {path for path in ROOT.glob("*.md")} <= set(test_links.PAGES)
