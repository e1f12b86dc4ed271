"""Wrong words get one sentence and status 2; failed work gets one sentence and status 1; neither shows a traceback."""

from __future__ import annotations

import pytest

from qexplore.cli import main
from qexplore.cli.verbs import VERBS, Verb


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["zooo"], "did you mean 'zoo'"),
        (["train"], "required: NAME"),
        (["train", "resnet-digitz"], "did you mean 'resnet-digits'"),
        (["train", "resnet-digits", "--seed", "one"], "a seed is a whole number"),
        (["zoo", "--jsn"], "Unrecognized arguments: --jsn"),
        (["app", "--port", "70000"], "1 to 65535"),
        (["app", "--port", "abc"], "Argument --port: a port is a whole number, such as 8501; not 'abc'"),
        (["sensitivity", "--task", "resnet-digits", "--bits", "2,a"], "such as 2,4,8; not '2,a'"),
        (["sensitivity", "--task", "resnet-digits", "--bits", ""], "bit widths are whole numbers with commas"),
        (["allocate", "--task", "resnet-digits", "--weight-bits", "few"], "average bits are a number, such as 3.5"),
        (["study", "training", "--seeds", "many"], "a number of seeds is a whole number"),
        (["runs", "list", "--limit", "all"], "a number of runs is a whole number"),
    ],
)
def test_wrong_words_get_one_sentence_that_says_what_is_wrong(say, words, told):
    spoken = say(*words)
    assert spoken.status == 2
    assert told in spoken.err
    assert spoken.out == ""
    assert len(spoken.err.splitlines()) == 1


def test_no_words_get_the_list_of_verbs(say):
    spoken = say()
    assert spoken.status == 2
    assert all(verb in spoken.err for verb in VERBS)


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)])
def test_help_is_an_answer_not_an_error(say, words):
    with pytest.raises(SystemExit) as ended:
        say(*words)
    assert ended.value.code == 0


@pytest.fixture
def verb_that(monkeypatch):
    """verb_that(work) puts a function of no arguments behind the verb zoo."""

    def put(work):
        verb = Verb("", lambda parser: None, lambda words, watcher: work(), str)
        monkeypatch.setitem(VERBS._entries, "zoo", ("zoo", verb))

    return put


def test_work_that_fails_is_status_1_and_one_sentence(say, verb_that):
    verb_that(lambda: 1 / 0)
    spoken = say("zoo", "--json")
    assert spoken.status == 1
    assert spoken.err == "The work failed: ZeroDivisionError: division by zero (--debug shows where.)\n"
    assert spoken.out == ""


def test_a_training_that_diverges_is_work_that_failed(say):
    spoken = say("run", "qat-w3a3", "--task", "resnet-digits", "--set", "qat.epochs=1", "--set", "qat.rate=10")
    assert spoken.status == 1
    assert spoken.last_words.startswith("The training 'qat' diverged at step ")


def test_debug_shows_where_the_work_failed(say, verb_that, monkeypatch):
    verb_that(lambda: 1 / 0)
    assert "Traceback" in say("zoo", "--debug").err
    monkeypatch.setenv("QEXPLORE_DEBUG", "1")
    assert "Traceback" in say("zoo").err


def test_an_interrupt_is_status_130(say, verb_that):
    def interrupted():
        raise KeyboardInterrupt

    verb_that(interrupted)
    spoken = say("zoo")
    assert (spoken.status, spoken.err) == (130, "Stopped.\n")


def test_what_the_work_prints_does_not_reach_stdout(say, verb_that):
    def loud():
        print("noise")
        return {"value": float("nan")}

    verb_that(loud)
    spoken = say("zoo", "--json")
    assert spoken.document == {"value": None}
    assert "noise" in spoken.err


def test_main_without_words_takes_those_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["qexplore", "zoo"])
    assert main() == 0
    assert "mobilenet-digits" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [["run", "w8a8"], ["sensitivity"], ["allocate", "--weight-bits", "4"]])
@pytest.mark.parametrize("seed", ["-1", "99999999999999999999999", "one", "", "1.5"])
def test_a_seed_that_no_generator_takes_is_refused_before_the_work(
    verb: list[str], seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb, "--task", "mobilenet-digits", f"--seed={seed}"]) == 2
    told = capsys.readouterr()
    assert "seed is a whole number" in told.err
    assert not told.out
