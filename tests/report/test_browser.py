"""The page in a real browser: nothing is asked for, nothing complains, everything is there and fits."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from .conftest import SCRIPT

if TYPE_CHECKING:
    from .browser import Browser
    from .conftest import Reported

# What differs between servers is in test_command.py.
pytestmark = pytest.mark.pg(">= 18")

_CHARTS = "document.querySelectorAll('svg[role=img]')"
# What sticks out of the window, unless it lies in something that cuts it off.
_WIDER = """
[...document.querySelectorAll('main *, footer *, .masthead *')]
  .filter(item => item.getBoundingClientRect().right > innerWidth + 1 && !item.closest('.visually-hidden, thead'))
  .map(item => item.tagName + '.' + item.className).slice(0, 5).join()
"""
# Of each piece of text its colour and the one behind it, as their contrast; WCAG asks for 4.5.
_FAINT = """
(() => {
  const part = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const behind = item => {
    for (; item; item = item.parentElement) {
      const found = getComputedStyle(item).backgroundColor;
      if (found.startsWith('rgb') && (rgb(found)[3] ?? 1) === 1) return rgb(found);
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  for (const item of document.querySelectorAll('main *, footer *')) {
    if (![...item.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    if (item.closest('svg')) continue;
    const [one, other] = [light(rgb(getComputedStyle(item).color)), light(behind(item))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) faint.add(item.tagName + '.' + item.className + ' ' + contrast.toFixed(1));
  }
  return [...faint].join();
})()
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page(width: int, dark: bool, reported: Reported, chromium: Browser) -> None:
    chromium.open(reported.page, width=width, dark=dark)
    assert chromium.complaints == []
    assert [url for url in chromium.requests if not url.startswith("data:")] == [reported.page.as_uri()]
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    assert chromium.ask(_WIDER) == ""
    assert chromium.ask(_FAINT) == ""
    assert chromium.ask(f"{_CHARTS}.length") >= 10
    assert chromium.ask(f"[...{_CHARTS}].every(chart => chart.getBoundingClientRect().height > 40)")
    paper = chromium.ask("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (paper < 60) is dark


def test_every_chart_is_named_and_told_in_words(reported: Reported, chromium: Browser) -> None:
    chromium.open(reported.page, width=1400)
    told = chromium.ask(
        f"[...{_CHARTS}].map(chart => chart.getAttribute('aria-labelledby').split(' ')"
        ".map(id => document.getElementById(id).textContent))"
    )
    assert all(title.endswith(" over time") and "highest" in said for title, said in told)
    assert chromium.ask("new Set([...document.querySelectorAll('[id]')].map(item => item.id)).size") == chromium.ask(
        "document.querySelectorAll('[id]').length"
    )
    assert chromium.ask(f"[...{_CHARTS}].every(chart => chart.querySelector('.line').getTotalLength() > 0)")


def test_names_of_users_stay_text(reported: Reported, chromium: Browser) -> None:
    chromium.open(reported.page, width=1400)
    assert chromium.ask("document.scripts.length") == 0
    assert chromium.ask("document.querySelectorAll('[onload], [onerror], iframe, object, img').length") == 0
    shown = chromium.ask("[...document.querySelectorAll('tbody bdi')].map(item => item.textContent)")
    assert f'public."{SCRIPT}"' in shown
    assert 'public."a\'b"" onload=""x"' in shown
    assert 'public."ab\\u202ecd"' in shown
    assert "public." + "x" * 63 in shown


def test_it_has_an_outline(reported: Reported, chromium: Browser) -> None:
    """Headings without a gap, a caption for each table, links that lead somewhere."""
    chromium.open(reported.page, width=1400)
    levels = chromium.ask("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(item => Number(item.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert chromium.ask("[...document.querySelectorAll('table')].every(table => table.caption !== null)")
    assert chromium.ask(
        "[...document.querySelectorAll('a')].every(link => document.querySelector(link.getAttribute('href')))"
    )


def test_it_prints_on_white(reported: Reported, chromium: Browser) -> None:
    chromium.open(reported.page, width=794, dark=True)
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    chromium.call("Emulation.setEmulatedMedia", media="print", features=[scheme])
    assert chromium.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert chromium.ask("document.documentElement.scrollWidth") <= 794


def test_the_first_page_says_how_to_get_history(reported: Reported, chromium: Browser) -> None:
    chromium.open(reported.first, width=400)
    assert chromium.complaints == []
    assert chromium.ask("document.documentElement.scrollWidth") <= 400
    assert chromium.ask(f"{_CHARTS}.length") == 0
    assert "figures over time" in chromium.ask("document.querySelector('.missing').textContent").lower()
