"""Jobs as JSON and as arguments, and the errors of wrong fields."""

import inspect
import json
from dataclasses import MISSING, Field
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from st_spark import encode
from st_spark.errors import SpecError
from st_spark.specs.base import Job, value_type
from st_spark.specs.jobs import JOBS
from st_spark.specs.pair_jobs import ClusterJob, DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import ClassifyJob, DescribeJob, EmbedJob, IndexJob, SearchJob

NEEDED: dict[type[Job], dict[str, Any]] = {
    EmbedJob: {"input": "in.csv", "output": "out", "model": "m", "text_column": "text"},
    ClassifyJob: {"input": "in", "output": "out", "model": "m", "text_column": "text"},
    IndexJob: {"table": "t", "output": "o"},
    SearchJob: {"queries": "q", "table": "t", "output": "o"},
    DescribeJob: {"table": "t"},
    JoinJob: {"left": "left", "output": "out"},
    DedupJob: {"input": "in", "output": "out"},
    ClusterJob: {"input": "in", "output": "out"},
    MineJob: {"source": "de", "target": "en", "output": "out"},
}

# The jobs that encode texts, and their limits on the work of the model.
ENCODERS = (EmbedJob, ClassifyJob, JoinJob, DedupJob, ClusterJob, MineJob)
LIMITS = ("max_seq_length", "batch_size")


def values(option: Field[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a field."""
    about = option.metadata
    text = st.text(min_size=1 if option.default is MISSING else 0, max_size=8)
    kinds: dict[type, st.SearchStrategy[Any]] = {
        str: text.map(lambda value: value + "{}") if option.name == "template" else text,
        int: st.integers(min_value=about["least"]),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
    }
    if option.name in ("chunk", "nprobe"):
        return st.sampled_from(["auto" if option.name == "chunk" else "all", "256"])
    if option.name == "recall":
        return st.floats(0.01, 1.0)
    if option.name == "input_encoding":
        return st.sampled_from(["utf-8", "latin-1", "cp1252"])
    one = st.sampled_from(about["choices"]) if about["choices"] else kinds[value_type(option)]
    return one | st.tuples(one, one) if about["most"] > 1 else one


@st.composite
def jobs(draw: st.DrawFn, kind: type[Job]) -> Job:
    """Draw a job with all required and some optional fields."""
    options = {each.name: each for each in kind.options()}
    optional = [name for name, each in options.items() if each.default is not MISSING]
    names = {*NEEDED[kind], *draw(st.lists(st.sampled_from(optional), max_size=6))}
    if kind is ClassifyJob and "labels_table" not in names:
        names.add("labels")
    try:
        return kind(**{name: draw(values(options[name])) for name in sorted(names)})
    except SpecError:  # fields that exclude each other
        reject()


@pytest.mark.parametrize("kind", JOBS.values())
def test_job_survives_json_and_argv(kind: type[Job]) -> None:
    @given(jobs(kind))
    def check(job: Job) -> None:
        assert kind.from_json(job.to_json()) == job
        assert kind.from_argv(job.to_argv()) == job

    check()


@pytest.mark.parametrize(
    ("line", "job"),
    [
        (
            "embed --input in.csv --output out --model m --text-column title --text-column text --mode append",
            EmbedJob(input="in.csv", output="out", model="m", text_column=("title", "text"), mode="append"),
        ),
        (
            "embed --input in --output out --model m --text-column t --mode overwrite --partition-by day,k",
            EmbedJob(input="in", output="out", model="m", text_column="t", mode="overwrite", partition_by=("day", "k")),
        ),
        (
            "dedup --input in --output out --model m --text-column t --max-seq-length 256 --batch-size 8",
            DedupJob(input="in", output="out", model="m", text_column="t", max_seq_length=256, batch_size=8),
        ),
        (
            "join --left a --output c --left-columns text,url --right-columns text --right-columns url",
            JoinJob(left="a", output="c", left_columns="text,url", right_columns=("text", "url")),
        ),
        ("search q --table t -k 3", SearchJob(query="q", table="t", k=3)),
        ("search q --table i --nprobe 8", SearchJob(query="q", table="i", nprobe="8")),
        ("index --table t --output i --recall 0.9", IndexJob(table="t", output="i", recall=0.9)),
        (
            "search --queries q.csv --table t --output o --columns id,text --columns year --where year>2020",
            SearchJob(queries="q.csv", table="t", output="o", columns=("id,text", "year"), where="year>2020"),
        ),
        (
            "join --left a --right b --output c -k 3 --on lang --on year --threshold 1",
            JoinJob(left="a", output="c", right="b", k=3, threshold=1.0, on=("lang", "year")),
        ),
        (
            "mine --source de --target en --output pairs --text-column text --margin distance --threshold 0.1 --texts",
            MineJob(
                source="de",
                target="en",
                output="pairs",
                text_column="text",
                margin="distance",
                threshold=0.1,
                texts=True,
            ),
        ),
    ],
)
def test_typed_arguments_become_a_job(line: str, job: Job) -> None:
    assert type(job).from_argv(line.split()) == job


def test_options_of_encoding_are_keyword_arguments_of_encode() -> None:
    limits: dict[str, Any] = {"max_seq_length": 8, "batch_size": 2}
    shared = {"prompt": None, **limits}
    column = {**shared, "max_image_pixels": 50_000_000}
    vectors: dict[str, Any] = {"prompt_name": "query", "truncate_dim": 4, "normalize_embeddings": True}
    vectors |= {"overlap": 2, "pooling": "max"}
    embed = EmbedJob(**NEEDED[EmbedJob], **limits, **vectors, chunk="64")
    vectors |= {"task": None, "chunk": 64}
    assert embed.encoding == {**column, **vectors}
    assert ClassifyJob(**NEEDED[ClassifyJob], **limits, labels="a").encoding == column
    for kind in (JoinJob, DedupJob, MineJob):
        assert kind(**NEEDED[kind], **limits, model="m", text_column="t").encoding == shared
    assert {*column, *vectors} <= set(inspect.signature(encode).parameters)


def test_a_query_may_have_spaces() -> None:
    argv = ["search", "two words", "--table", "t", "-k", "3"]
    assert SearchJob.from_argv(argv) == SearchJob(query="two words", table="t", k=3)


def test_keys_are_the_columns_of_on() -> None:
    assert JoinJob(left="a", output="c", on=("lang", "year")).keys == ("lang", "year")
    assert JoinJob(left="a", output="c", on="lang").keys == ("lang",)
    assert JoinJob(left="a", output="c").keys == ()
    assert JoinJob(left="a", output="c", left_columns="x, y").added_columns == (("x", "y"), ())


def test_a_model_may_be_given_with_the_vectors_of_one_of_two_tables() -> None:
    join = JoinJob(left="a", right="b", output="c", model="m", text_column="t", right_column="v")
    mine = MineJob(source="a", target="b", output="c", model="m", text_column="t", column="v")
    assert (join.vector_columns, mine.vector_columns) == ((None, "v"), ("v", None))


def test_tables_have_their_formats() -> None:
    join = JoinJob(left="a", right="b", output="c", right_format="csv")
    assert join.tables() == [("a", None), ("b", "csv"), ("c", None)]
    assert MineJob(source="de", target="en", output="o").tables() == [("de", None), ("en", None), ("o", None)]
    labels = ClassifyJob(**NEEDED[ClassifyJob], labels_table="l", output_format="delta").tables()
    assert sorted(labels, key=str) == [("in", None), ("l", None), ("out", "delta")]
    assert SearchJob(query="q", table="t").tables() == [("t", None)]


def test_labels_are_split_at_commas() -> None:
    job = ClassifyJob(**NEEDED[ClassifyJob], labels="sport, world politics ,cooking")
    assert job.label_names == ("sport", "world politics", "cooking")


def test_json_has_the_kind_and_may_leave_out_defaults() -> None:
    needed = NEEDED[EmbedJob]
    assert json.loads(EmbedJob(**needed).to_json())["job"] == "embed"
    assert EmbedJob.from_json(json.dumps(needed)) == EmbedJob(**needed)


@pytest.mark.parametrize(
    ("value", "wanted"), [({"threshold": 1}, {"threshold": 1.0}), ({"max_bad": 5}, {"max_bad": "5"})]
)
def test_json_may_have_an_integer_for_a_float_or_a_number_of_rows(
    value: dict[str, Any], wanted: dict[str, Any]
) -> None:
    needed = NEEDED[DedupJob]
    assert DedupJob.from_json(json.dumps({**needed, **value})) == DedupJob(**needed, **wanted)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (EmbedJob, {"mode": "replace"}, "mode is 'replace'"),
        (EmbedJob, {"mode": "overwrit"}, "did you mean 'overwrite'"),
        (EmbedJob, {"output_format": "csv"}, "choose parquet, delta, table"),
        (EmbedJob, {"text_colum": "text"}, "did you mean 'text_column'"),
        (EmbedJob, {"input": None}, "needs input. Fix: give --input"),
        (EmbedJob, {"input": ""}, "input is empty"),
        (EmbedJob, {"text_column": ["a", "b", "c"]}, "text_column has 3 values"),
        (EmbedJob, {"text_column": []}, "text_column has 0 values"),
        (EmbedJob, {"truncate_dim": "64"}, "truncate_dim is '64'. Fix: give an integer"),
        (EmbedJob, {"truncate_dim": True}, "truncate_dim is True"),
        (EmbedJob, {"truncate_dim": 0}, "truncate_dim is 0. Fix: give 1 or more"),
        (EmbedJob, {"normalize_embeddings": "yes"}, "normalize_embeddings is 'yes'. Fix: give true or false"),
        (EmbedJob, {"prompt": "query: ", "prompt_name": "query"}, "Both prompt and prompt_name"),
        (EmbedJob, {"output_column": "text"}, "output_column 'text' is an input column"),
        (EmbedJob, {"output_column": "_ST_spark_result"}, "output_column '_ST_spark_result' is a name that jobs use"),
        (EmbedJob, {"input_encoding": "latin-one"}, "input_encoding 'latin-one' is unknown"),
        (EmbedJob, {"partition_by": "day,text"}, "The partition column 'text' is a text, ID or output column"),
        (EmbedJob, {"partition_by": "day,,k"}, "partition_by is 'day,,k'. Fix: name each column once"),
        (
            EmbedJob,
            {"since_version": "-1", "mode": "merge"},
            "since_version is '-1'. Fix: give a version of the table, or last",
        ),
        (EmbedJob, {"since_version": 3}, "since_version is given, and the mode is error. Fix: add --mode merge"),
        (EmbedJob, {"chunk": "all"}, "chunk is 'all'. Fix: give a number of tokens, or auto"),
        (EmbedJob, {"chunk": 0}, "chunk is '0'. Fix: give a number of tokens"),
        (EmbedJob, {"pooling": "mean"}, "pooling is mean, and chunk is not given. Fix: add --chunk"),
        (EmbedJob, {"overlap": 9}, "overlap is 9, and chunk is not given. Fix: add --chunk"),
        (EmbedJob, {"chunk": 9, "overlap": 9}, "overlap is 9, and chunk is 9. Fix: give a smaller --overlap"),
        (EmbedJob, {"chunk": "auto", "pooling": "sum"}, "choose none, mean, max"),
        (EmbedJob, {"chunk": "auto", "text_column": ["a", "b"]}, "pairs are not cut. Fix: give one --text-column"),
        (EmbedJob, {"chunk": "auto", "output_column": "chunk_end"}, "output_column 'chunk_end' is a column of chunks"),
        (
            EmbedJob,
            {"chunk": "auto", "mode": "merge", "id_column": "id", "on_error": "null"},
            "on_error is null in a merge of chunks: a text would mix old chunks and new ones. Fix: use --on-error fail",
        ),
        (EmbedJob, {"job": "search"}, "is a job of kind 'search'"),
        (ClassifyJob, {}, "No labels are given. Fix: give one of them: --labels a,b,c"),
        (ClassifyJob, {"labels": "a", "labels_table": "t"}, "Both labels and labels_table are given"),
        (ClassifyJob, {"labels": "a", "template": "a photo"}, "The template 'a photo' has no {}. Fix: put {} where"),
        (ClassifyJob, {"labels": "a", "output_column": "text"}, "output_column 'text' is an input column"),
        (ClassifyJob, {"label": "a"}, "did you mean 'labels'"),
        *((kind, {name: 0}, f"{name} is 0. Fix: give 1 or more") for kind in ENCODERS for name in LIMITS),
        (JoinJob, {"max_seq_length": 8}, "max_seq_length is given without model"),
        (DedupJob, {"prompt": "q: "}, "prompt is given without model"),
        (DedupJob, {"revision": "main"}, "revision is given without model"),
        (ClusterJob, {"prompt": "q: "}, "prompt is given without model"),
        (ClusterJob, {"model": "m"}, "model is given without text_column"),
        (ClusterJob, {"method": "leader"}, "method is 'leader'. Fix: choose kmeans, communities"),
        (ClusterJob, {"mode": "append"}, "mode is 'append'. Fix: choose error, overwrite"),
        (ClusterJob, {"k": 0}, "k is 0. Fix: give 1 or more"),
        (ClusterJob, {"k": 5, "min_k": 3}, "k is given, and bounds for it, too. Fix: give --k, or --min-k and --max-k"),
        (
            ClusterJob,
            {"k": 5, "threshold": 0.7},
            "threshold is given, and the method is kmeans. Fix: leave it out, or add",
        ),
        (ClusterJob, {"method": "communities", "seed": 1}, "seed is given, and the method is communities"),
        (ClusterJob, {"min_community_size": 0, "method": "communities"}, "min_community_size is 0"),
        (ClusterJob, {"summary": "out"}, "summary and output are both out"),
        (SearchJob, {"k": 0}, "k is 0"),
        (SearchJob, {"queries": None, "output": None}, "No query is given. Fix: give one of them"),
        (SearchJob, {"query": "q"}, "Both a query and queries are given"),
        (SearchJob, {"query": ""}, "Both a query and queries are given"),
        (SearchJob, {"queries": None, "output": None, "query": ""}, "query is empty"),
        (SearchJob, {"output": None}, "queries is given without output. Fix: name the table for the answer: --output"),
        (SearchJob, {"queries": None, "query": "q"}, "output is given without queries"),
        (
            SearchJob,
            {"queries": None, "output": None, "query": "q", "schema": "id INT"},
            "schema is given without queries",
        ),
        (SearchJob, {"text_column": "t", "query_column": "v"}, "Both text_column and query_column"),
        (SearchJob, {"model": "m", "query_column": "v"}, "Both a model and query_column"),
        (SearchJob, {"columns": "id,,text"}, "columns is 'id,,text'. Fix: name each column once"),
        (SearchJob, {"query_columns": ["id", "id"]}, "query_columns is 'id,id'. Fix: name each column once"),
        (SearchJob, {"nprobe": "many"}, "nprobe is 'many'. Fix: give a number of lists, 1 or more, or all"),
        (SearchJob, {"nprobe": 0}, "nprobe is '0'"),
        (IndexJob, {"recall": 1.5}, "recall is 1.5. Fix: give a share of the true neighbours, above 0 and up to 1"),
        (IndexJob, {"recall": 0}, "recall is 0.0"),
        (IndexJob, {"output": "t"}, "table and output are both t. Fix: name another table for the index: --output"),
        (IndexJob, {"lists": 0}, "lists is 0. Fix: give 1 or more"),
        (IndexJob, {"lists": 9, "mode": "append"}, "lists is 9, and the mode is append, which keeps the lists. Fix:"),
        (IndexJob, {"mode": "merge"}, "mode is 'merge'"),
        (JoinJob, {"k": 0}, "k is 0"),
        (JoinJob, {"model": "m"}, "model is given without text_column"),
        (JoinJob, {"text_column": "t"}, "text_column is given without model"),
        (JoinJob, {"model": "m", "text_column": "t", "column": "v"}, "Both a model and a vector column"),
        (
            JoinJob,
            {"model": "m", "text_column": "t", "right": "r", "column": "v", "right_column": "v"},
            "Both a model and a vector column",
        ),
        (JoinJob, {"right_column": "v"}, "right_column is given without right"),
        (JoinJob, {"right_where": "id > 1"}, "right_where is given without right"),
        (
            JoinJob,
            {"left_columns": ("text,url", "text")},
            "left_columns is 'text,url,text'. Fix: name each column once",
        ),
        (JoinJob, {"right_columns": "a,,b"}, "right_columns is 'a,,b'"),
        (JoinJob, {"right_columns": "text, ID"}, "right_columns has id, and the pairs have right_id already"),
        (JoinJob, {"score": "cos"}, "choose cosine, dot, euclidean"),
        (JoinJob, {"rigth": "r"}, "did you mean 'right'"),
        (JoinJob, {"threshold": "high"}, "threshold is 'high'. Fix: give a number"),
        (DedupJob, {"model": "m"}, "model is given without text_column"),
        (DedupJob, {"text_column": "t"}, "text_column is given without model"),
        (DedupJob, {"model": "m", "text_column": "t", "column": "v"}, "Both a model and a vector column"),
        (DedupJob, {"output_kept": "out"}, "output and output_kept are both 'out'. Fix: name two tables"),
        (DedupJob, {"against_where": "id > 1"}, "against_where is given without against"),
        (DedupJob, {"linkage": "leaders"}, "did you mean 'leader'"),
        (DedupJob, {"threshold": "high"}, "threshold is 'high'. Fix: give a number"),
        (DedupJob, {"treshold": 0.8}, "did you mean 'threshold'"),
        (MineJob, {"k": 0}, "k is 0"),
        (MineJob, {"threshold": float("nan")}, "-1000 keeps every pair"),
        (MineJob, {"margin": "cosine"}, "choose absolute, distance, ratio"),
        (MineJob, {"margin": "distance"}, "The 'distance' margin is never above 1.06"),
        (MineJob, {"retrieval": "intersection"}, "did you mean 'intersect'"),
        (MineJob, {"model": "LaBSE"}, "model is given without text_column"),
        (MineJob, {"tsv": "out.tsv"}, "tsv is given without text_column"),
        (
            MineJob,
            {"model": "LaBSE", "text_column": "t", "column": "v", "target_column": "v"},
            "Both a model and a vector column",
        ),
        (
            MineJob,
            {"tmx": "out.tmx", "text_column": "t", "source_language": "de"},
            "tmx is given without both languages",
        ),
        (MineJob, {"language_column": "lang"}, "language_column is given without both languages"),
    ],
)
def test_wrong_field_is_an_error_with_a_fix(kind: type[Job], change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        kind.from_json(json.dumps({**NEEDED[kind], **change}))
    assert message in str(caught.value)


PATHS = [(kind, each.name) for kind in JOBS.values() for each in kind.options() if each.metadata["path"]]
TEXTS = [(kind, each.name) for kind in JOBS.values() for each in kind.options() if value_type(each) is str]


def field_error(kind: type[Job], name: str, value: str) -> str:
    """Return the error of a job with one wrong field."""
    with pytest.raises(SpecError) as caught:
        kind.from_json(json.dumps({**NEEDED[kind], name: value}))
    return str(caught.value)


def test_every_option_with_a_place_is_a_path() -> None:
    names = {name for _, name in PATHS}
    places = {
        "input",
        "output",
        "table",
        "queries",
        "left",
        "right",
        "source",
        "target",
        "labels_table",
        "tsv",
        "tmx",
        "report",
    }
    assert names == places | {"model", "label_model", "output_kept", "against", "summary"}


@pytest.mark.parametrize(("kind", "name"), PATHS)
def test_a_secret_in_a_path_is_refused_and_not_shown(kind: type[Job], name: str) -> None:
    error = field_error(kind, name, "s3a://AKIA:sec/ret+@bucket/docs")
    assert f"{name} is s3a://***@bucket/docs: it holds a name and a secret." in error
    assert "spark.hadoop.fs.s3a.access.key" in error


@pytest.mark.parametrize(("kind", "name"), TEXTS)
def test_half_a_surrogate_pair_is_refused_in_every_text(kind: type[Job], name: str) -> None:
    assert f"{name} has half a surrogate pair, '\\ud83d', at character 3." in field_error(kind, name, "caf\ud83d{}")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["embed", "--imput", "x"], "did you mean '--input'"),
        (["embed", "--mode", "replace"], "invalid choice: 'replace'"),
        (["embed", "--truncate-dim", "many"], "invalid int value: 'many'"),
        (["embed", "--input", "in.csv"], "embed needs output"),
        (["search", "--table", "t"], "The arguments do not start with 'embed': ['search']"),
    ],
)
def test_wrong_arguments_are_an_error_with_a_fix(argv: list[str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        EmbedJob.from_argv(argv)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "{", "3"])
def test_spec_must_be_a_json_object(text: str) -> None:
    with pytest.raises(SpecError, match="The spec is"):
        EmbedJob.from_json(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "merge"}, "The mode merge needs id_column"),
        ({"delete_missing": True}, "delete_missing is given, and the mode is error"),
        ({"on_new_recipe": "rebuild", "id_column": "id"}, "on_new_recipe is given, and the mode is error"),
    ],
)
def test_options_of_a_merge_need_the_mode_and_ids(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        EmbedJob(input="in", output="out", model="m", text_column="text", **options)
