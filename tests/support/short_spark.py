"""Settings of a Spark that lives for seconds and runs each query once, on a few rows."""

from typing import Any

# The best compiler and a collector with threads do not pay in seconds: a third of the time.
# That compiler's default of 48 MB for compiled code is too little: code is dropped, and compiled again.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m"
# To compile a query takes longer than to run it.
INTERPRETED: dict[str, Any] = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
