"""The tables of what photos show."""

import sys

import pytest
import shows
from helpers import ROOT, shared_data

from cinn_colorize.data.sources import find_photos
from cinn_colorize.evaluation.table import read_subsets

WORDS = {"people", "sky", "vegetation", "food", "indoors"}


@pytest.mark.parametrize("name", ["photos-dev", "photos-val"])
def test_a_table_names_photos_of_its_zip_and_all_words(name):
    zipped, table = shared_data(f"{name}.zip"), ROOT / f"scripts/measure/{name}-shows.tsv"
    photos = [source.name_in(zipped) for source in find_photos(zipped, None)]
    lines = table.read_text().splitlines()[1:]
    entries = [line.partition("\t")[0] for line in lines]
    assert len(set(entries)) == len(entries)
    assert set(entries) <= set(photos)
    assert set(read_subsets(table, photos)) == WORDS
    assert {word for line in lines for word in line.partition("\t")[2].split(",")} == WORDS


def test_validation_photos_have_the_words_of_their_source_and_class(monkeypatch, capsys):
    inputs = [str(shared_data("photos-val.zip")), str(shared_data("photos-val-labels.tsv"))]
    monkeypatch.setattr(sys, "argv", ["shows.py", *inputs])
    shows.main()
    assert capsys.readouterr().out == (ROOT / "scripts/measure/photos-val-shows.tsv").read_text()
