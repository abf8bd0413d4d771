"""Tests of st_airflow."""
