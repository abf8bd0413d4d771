"""search(): the nearest rows of a table or an index for each query, with the columns of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as sf
from pyspark.sql import types as st

from st_spark.errors import InputError, check_count, check_list
from st_spark.join import query_scan
from st_spark.join.inputs import id_values
from st_spark.join.options import described
from st_spark.join.shuffle import ID, VECTOR
from st_spark.join.stored_vectors import stored_form
from st_spark.join.tasks.query_search import QuerySearch
from st_spark.join.tasks.row_lists import LIST
from st_spark.join.vector_index import ALL, Probing, VectorIndex, check_nprobe, find_index
from st_spark.spark.cluster import use_this_python
from st_spark.spark.hold import check_batch
from st_spark.steps.query_vectors import NUMBER, QUERIES, Queries, TableVectors, read_queries
from st_spark.tables import io
from st_spark.tables.columns import check_columns, quoted_column
from st_spark.tables.conditions import filter_rows
from st_spark.tables.metadata import vector_column
from st_spark.tables.vector_types import vector_values

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TABLE = "the table"
# The most hits that are sent to all tasks, which then read the other columns, and that are sorted in one task.
_BROADCAST, _SORTED = 1_000_000, 100_000
_PREFIX = "query_"
# Up to so many queries, products with all rows that are read cost less than to look at the lists of each query. So they
# do if a query probes more than this share of the lists that are read. (Measured: 10,000 queries with 40,000 rows take
# 5 s, and with a hundredth of the lists each 1.2 s, with a quarter 4 s; 2,000 queries take 1 s in any way.)
_FEW_QUERIES, _OWN_SHARE = 4096, 0.2


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search; see search()."""

    k: int = 5
    where: str | None = None
    columns: Sequence[str] | None = None
    query_columns: Sequence[str] | None = None
    text_column: str | None = None
    query_column: str | None = None
    id_column: str | None = None
    column: str | None = None
    model: str | None = None
    score: str | None = None
    nprobe: int | str | None = None


@dataclass(frozen=True)
class PlannedSearch:
    """A search that is planned and has not run."""

    queries: Queries
    vectors: TableVectors
    rows: "DataFrame"  # The rows that meet the condition
    id_column: str
    columns: list[str]  # The columns of the table in the answer
    k: int
    probing: Probing | None = None  # Which lists are read; None for all rows

    def scan(self) -> "DataFrame":
        """Return the result of query_scan.scan()."""
        ids = id_values(self.rows, self.id_column).alias(ID)
        vector = vector_values(self.rows.schema, self.vectors.column).alias(VECTOR)
        form = self.vectors.form(self.queries.matrix.shape[1])
        probes = self._own_lists()
        search = QuerySearch(self.queries.matrix, self.k, self.queries.score, form=form, probes=probes)
        rows = self.rows.select(ids, vector, *([LIST] if probes is not None else []))
        return query_scan.scan(rows if self.probing is None else rows.coalesce(self.probing.tasks), search)

    def _own_lists(self) -> Any:  # noqa: ANN401  (as Probing.lists)
        """Return the lists of each query, if it is cheaper to compare it with these alone than with all that is read.

        Otherwise a query is also compared with rows that other queries read. So it finds as much, or more.
        """
        if self.probing is None or len(self.queries.matrix) <= _FEW_QUERIES:
            return None
        read = self.probing.facts()["lists_read"]
        return self.probing.lists if self.probing.lists.shape[1] < _OWN_SHARE * read else None

    def answer(self, found: "DataFrame") -> "DataFrame":
        """Return the best rows of each query, from scan(), with the columns of the queries and of the table."""
        few = len(self.queries.matrix) * self.k
        few_queries = few <= _SORTED and len(self.queries.matrix) <= _FEW_QUERIES
        one_task = few_queries and self.probing is not None and self.probing.tasks == 1
        pairs = query_scan.best_pairs(found, self.k, one_task=one_task)
        score = sf.col("score")
        if self.columns != [self.id_column]:
            others = {name: quoted_column(name).alias(f"_{place}") for place, name in enumerate(self.columns)}
            rows = self.rows.select(id_values(self.rows, self.id_column).alias(ID), *others.values())
            pairs = (sf.broadcast(pairs) if few <= _BROADCAST else pairs).join(rows, sf.col("right_id") == sf.col(ID))
        else:
            pairs = pairs.withColumn("_0", sf.col("right_id"))
        if few <= _SORTED:
            pairs = pairs.repartition(1)
        if self.columns != [self.id_column]:
            copies = sf.count(sf.lit(1)).over(Window.partitionBy("left_id", "rank"))
            score = sf.when(copies > 1, sf.raise_error(self._duplicate()).cast("double")).otherwise(score)
        pairs = pairs.withColumn("score", score)
        queries = self.queries.rows
        pairs = pairs.join(sf.broadcast(queries) if few <= _BROADCAST else queries, sf.col("left_id") == sf.col(NUMBER))
        if few <= _SORTED:
            pairs = pairs.sortWithinPartitions("left_id", "rank")
        ours = [quoted_column(name).alias(f"{_PREFIX}{name}") for name in self.queries.names]
        theirs = [sf.col(f"_{place}").alias(name) for place, name in enumerate(self.columns)]
        return pairs.select(*ours, "rank", described(sf.col("score"), self.facts), *theirs)

    @property
    def facts(self) -> dict[str, Any]:
        """How the answer is made."""
        about = {"method": "exact", "score": self.queries.score, "k": self.k}
        return about if self.probing is None else {**about, "method": "ivf", "nprobe": self.probing.lists.shape[1]}

    def _duplicate(self) -> "Any":  # noqa: ANN401 (a column)
        """Return the error for an id that several rows have, as failures.explain() reads it."""
        text = f"st_spark.errors.InputError: Duplicate ids in {self.vectors.where}: "
        fix = ". Fix: make the ids unique, or name another column: --id-column, id_column=."
        return sf.concat(sf.lit(text), sf.col("right_id").cast("string"), sf.lit(fix))


def search(  # noqa: PLR0913  (two tables with the names of their columns, and the options)
    queries: "DataFrame | str | Sequence[Any]",
    table: "DataFrame | str",
    k: int = 5,
    *,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    query_columns: Sequence[str] | None = None,
    text_column: str | None = None,
    query_column: str | None = None,
    id_column: str | None = None,
    column: str | None = None,
    model: str | None = None,
    score: str | None = None,
    nprobe: int | str | None = None,
) -> "DataFrame":
    """Find the rows of an embedded table that are most similar to each query.

    The answer is exact, unless the table is an index of build_index(): then only the lists near a query are read, and
    the answer has the recall of the index. The scores of what is found are exact.

    The queries are encoded when the function is called, as the model of the table wants it: with its prompt and task
    for queries, and with the options of the table. The table is searched when the result is used.

    Args:
        queries: A DataFrame of texts, images or vectors (quantised ones too); or a text, an image, or a list of them.
        table: A table that `st-spark embed` or encode() has made, also a quantised one; or an index. A DataFrame, or a
            path or catalog name.
        k: The most rows that each query gets.
        where: An SQL condition for the rows of the table, such as "lang = 'de' AND year > 2020". Spark applies it
            before it reads vectors.
        columns: Columns of the table in the answer; by default all except the vectors.
        query_columns: Columns of the queries in the answer; by default all except the column of vectors or images that
            is searched with.
        text_column: The column of `queries` with texts, or with images for a CLIP model. By default the queries'
            vectors are used if they have some, else the column "text".
        query_column: The vector column of `queries`; by default the only one.
        id_column: The column of the table with its unique ids, whole numbers or strings; by default the one that the
            table was embedded with, else "id". Of equal scores the smaller id is better.
        column: The vector column of the table; by default the only one.
        model: The model for the queries; by default the one that made the table.
        score: "cosine", "dot", or "euclidean" (minus the distance); by default the model's. Bits have a cosine only.
        nprobe: With an index, how many lists each query probes; "all" reads all, and is exact. By default as many as
            the recall of the index needs.

    Returns:
        The columns of the queries with the prefix query_, rank (int, from 1), score (double), and the columns of the
        table. Up to 100,000 rows are sorted by query and rank. A list of queries has query_id (from 0) and, for texts,
        query_text. Left out are queries without a usable vector or a matching row, and rows of the table with a null id
        or a vector that is null, of another size, with NaN or infinities, or (for cosine) of zeros.

    Raises:
        InputError: A column, a condition or an option that cannot work, or a model that did not make the table.
        ModelError: The model is not found.
    """
    options = SearchOptions(
        k, where, columns, query_columns, text_column, query_column, id_column, column, model, score, nprobe
    )
    if not isinstance(table, str):
        planned = plan_search(queries, table, options, index=find_index(table))
    else:
        spark = queries.sparkSession if hasattr(queries, "sparkSession") else SparkSession.getActiveSession()
        if spark is None:
            raise InputError("No Spark session is active.", "start one: SparkSession.builder.getOrCreate().")
        df = io.read(spark, table)
        planned = plan_search(queries, df, options, (QUERIES, table), find_index(df, table))
    return planned.answer(planned.scan())


def plan_search(
    queries: Any,  # noqa: ANN401 (a DataFrame, texts or images)
    table: "DataFrame",
    options: SearchOptions,
    names: tuple[str, str] = (QUERIES, TABLE),
    index: VectorIndex | None = None,
) -> PlannedSearch:
    """Check the options, and encode the queries; see search().

    Args:
        queries: See search().
        table: The rows.
        options: See search().
        names: The names of both tables, for errors.
        index: The index that the table is.
    """
    check_count("k", options.k)
    nprobe = check_nprobe(options.nprobe, index, names[1])
    check_batch(table, names[1])
    use_this_python(table.sparkSession)
    vectors = find_vectors(table.schema, names[1], options.column)
    id_column = find_id_column(table.schema, vectors, options.id_column)
    rows = filter_rows(table, options.where, "where", names[1])
    hidden = {vectors.column} if index is None else {vectors.column, LIST}
    chosen = [each.name for each in table.schema.fields if each.name not in hidden]
    if options.columns is not None:
        chosen = list(dict.fromkeys(check_list("columns", options.columns)))
        check_columns(table.schema, names[1], (), chosen)
    asked = None if options.query_columns is None else check_list("query_columns", options.query_columns)
    found = read_queries(
        table.sparkSession,
        queries,
        vectors,
        text_column=options.text_column,
        query_column=options.query_column,
        columns=asked,
        model=options.model,
        score=options.score,
        where=names[0],
    )
    _check_names(found.names, chosen, names[1])
    if index is not None and nprobe != ALL:
        probing = index.probe(table.sparkSession, found.matrix, found.score, nprobe)
        return PlannedSearch(found, vectors, rows.where(probing.condition), id_column, chosen, options.k, probing)
    if len(found.matrix):
        check_dimension(table, vectors, found.matrix.shape[1])
    return PlannedSearch(found, vectors, rows, id_column, chosen, options.k)


def find_vectors(schema: st.StructType, where: str, column: str | None) -> TableVectors:
    """Return the vectors of a table; InputError if it has none, or a column that cannot be read as vectors."""
    name, metadata = vector_column(schema, where, column)
    stored_form(schema, name, where, dimension=1)  # the queries say the dimension if the table does not
    return TableVectors(where, name, metadata)


def find_id_column(schema: st.StructType, vectors: TableVectors, chosen: str | None) -> str:
    """Return the id column of the table; InputError if it is missing, or holds neither whole numbers nor strings."""
    name = chosen or vectors.metadata.get("id_column") or "id"
    if name not in schema.names and chosen is None:
        raise InputError(
            f"{vectors.where} has no column {name!r}.", "name the column with its unique ids: --id-column, id_column=."
        )
    check_columns(schema, vectors.where, (), (name,))
    kind = schema[name].dataType
    if not isinstance(kind, st.IntegralType | st.StringType):
        raise InputError(
            f"The id column {name!r} of {vectors.where} holds {kind.simpleString()}.", "cast it to bigint or string."
        )
    return str(name)


def _check_names(queries: list[str], columns: list[str], where: str) -> None:
    """Check that no two columns of the answer have the same name; InputError if some have."""
    taken = {name.lower() for name in ("rank", "score", *(f"{_PREFIX}{name}" for name in queries))}
    for name in columns:
        if name.lower() in taken:
            raise InputError(
                f"{where} has a column {name!r}, and the answer has another column of this name.",
                "rename it, or name the columns that you want without it: --columns, columns=.",
            )


def check_dimension(table: "DataFrame", vectors: TableVectors, dimension: int) -> None:
    """Check that some vector of the table has the size of the queries' vectors; InputError if none has."""
    form = vectors.form(dimension)
    width = dimension if form is None else form.width
    sizes = table.select(sf.size(vector_values(table.schema, vectors.column)).alias("size")).where("size >= 0")
    first = sizes.first()
    if first is None:
        raise InputError(
            f"{vectors.where} has no vector in its column {vectors.column!r}.", "embed some texts into it first."
        )
    if first[0] != width and sizes.where(sf.col("size") == width).isEmpty():
        raise InputError(
            f"The vectors in {vectors.where} have {first[0]} values, but vectors of the queries have {width}.",
            "search with the model that made the table, or leave out --model if the table names its model.",
        )
