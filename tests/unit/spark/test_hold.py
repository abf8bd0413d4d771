"""A physical plan tells whether Python computes its rows."""

import pytest

from st_spark.spark.hold import plan_has_python

SCAN = "FileScan parquet [id#1,text#2] Location: InMemoryFileIndex[file:/data/Python/docs]"
ENCODE = f"""== Physical Plan ==
*(2) Project [id#1, pythonUDF0#9 AS embedding#3]
+- ArrowEvalPython [run(text#2)#4], [pythonUDF0#9], 200
   +- *(1) ColumnarToRow
      +- {SCAN}"""
PERSISTED = f"""AdaptiveSparkPlan isFinalPlan=false
+- Union
   :- Scan In-memory table [id#1, embedding#3]
   :     +- InMemoryRelation [id#1, embedding#3], StorageLevel(disk, 1 replicas)
   :           +- *(1) Project [id#1, pythonUDF0#9 AS embedding#3]
   :              +- ArrowEvalPython [run(text#2)#4], [pythonUDF0#9], 200
   :                 +- {SCAN}
   +- """


@pytest.mark.parametrize(
    ("plan", "python"),
    [
        (SCAN, False),
        (f"*(1) Filter isnotnull(Python#1)\n+- *(1) {SCAN}", False),
        (ENCODE, True),
        (ENCODE.replace("ArrowEval", "BatchEval"), True),
        ("MapInArrow run(id#1), [id#2]\n+- Range (0, 3)", True),
        ("* FlatMapGroupsInPandas (3)\n+- Range (0, 3)", True),
        (PERSISTED + SCAN, False),
        (PERSISTED + "MapInPandas run(id#1), [id#2]", True),
    ],
)
def test_python_counts_outside_of_persisted_parts(plan: str, python: bool) -> None:
    assert plan_has_python(plan) is python
