"""Each action of a plan, and why it is planned; after it was applied nothing is left to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import assert_index, index_comment, index_names, invalid_indexes

if TYPE_CHECKING:
    from server import Database

    from dbopt.optimize.steps import Plan, Step
    from dbopt.spec.finding import Finding
    from tests.optimize.runs import Project


@pytest.fixture
def posts(database: Database) -> Database:
    """A table with rows, analyzed."""
    database.sql("CREATE TABLE posts (id int PRIMARY KEY, author int, title text, state text)")
    database.sql("INSERT INTO posts SELECT n, n % 7, 'title ' || n % 50, 'new' FROM generate_series(1, 200) AS n")
    database.sql("ANALYZE posts")
    return database


def only(plan: Plan) -> Step:
    [step] = plan.steps
    return step


def actions(plan: Plan) -> list[tuple[str, str | None]]:
    return [(step.action.value, step.index) for step in plan.steps]


def finding(plan: Plan, code: str) -> Finding:
    [found] = [one for one in plan.findings if one.code == code]
    return found


def break_index(database: Database, statement: str) -> None:
    """An INVALID index, made as they are made: a unique build over duplicates that fails."""
    with database.connect(autocommit=True) as conn, pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute(statement)  # type: ignore[call-overload]


AUTHOR = "name: by_author, table: posts, keys: [author]"


def test_create(project: Project, posts: Database) -> None:
    step = only(project.wants(AUTHOR).plan())
    assert (step.action.value, step.index, step.table, step.domain) == ("create", "by_author", "posts", "shop")
    assert step.statements[0] == ('CREATE INDEX CONCURRENTLY "by_author" ON "public"."posts" USING "btree" ("author")')
    assert step.reason == "a test"
    project.assert_converges()
    assert_index(posts, "public.posts (author)")


def test_replace_says_what_changed(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (author) WHERE state = 'new'")
    project.wants("name: by_author, table: posts, keys: [{column: author, order: desc}, title], with: {fillfactor: 80}")
    step = only(project.plan())
    assert step.action.value == "replace"
    assert step.reason == (
        "the definition changed: keys author -> author DESC, title; where (state = 'new'::text) -> none;"
        " with none -> fillfactor=80"
    )
    project.assert_converges()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


def test_rename_by_was(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX old ON posts (author)")
    step = only(project.wants(f"{AUTHOR}, was: [older, old]").plan())
    assert (step.action.value, step.reason) == ("rename", "the spec says it was old")
    project.assert_converges()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


def test_was_with_another_definition_is_replaced(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX old ON posts (author, id)")
    step = only(project.wants(f"{AUTHOR}, was: [old]").plan())
    assert step.action.value == "replace"
    assert step.reason == "it was old, and the definition changed: keys author, id -> author"
    project.assert_converges()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


def test_an_equal_index_is_renamed(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX other ON posts (author) WHERE state IN ('new', 'old')")
    project.wants(f"{AUTHOR}, where: state = 'old' OR state = 'new'")
    step = only(project.plan())
    assert (step.action.value, step.reason) == ("rename", "equal in all but its name: other")
    project.assert_converges()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE posts ADD CONSTRAINT c UNIQUE (author, id)",
        "CREATE UNIQUE INDEX c ON posts (author, id);"
        " CREATE TABLE likes (a int, i int, FOREIGN KEY (a, i) REFERENCES posts (author, id))",
        "CREATE UNIQUE INDEX c ON posts (author, id); ALTER TABLE posts ALTER author SET NOT NULL,"
        " REPLICA IDENTITY USING INDEX c",
        "CREATE UNIQUE INDEX c ON posts (author, id); COMMENT ON INDEX c IS '[dbopt:1 other/c sha=0123456789ab]'",
    ],
    ids=["constraint", "foreign-key", "replica-identity", "another-domain"],
)
def test_an_index_that_is_needed_under_its_name_is_not_renamed(
    project: Project, posts: Database, statement: str
) -> None:
    posts.sql(statement)
    plan = project.wants("name: pair, table: posts, keys: [author, id], unique: yes").plan()
    assert actions(plan) == [("create", "pair")]
    assert "has the same keys as" in finding(plan, "duplicate-of-existing").message


def test_an_index_that_a_spec_names_is_not_renamed(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (author)")
    plan = project.wants(AUTHOR, "name: twin, table: posts, keys: [author]").plan()
    assert actions(plan) == [("create", "twin")]


def test_an_index_of_a_constraint_is_as_good_as_any(project: Project, posts: Database) -> None:
    posts.sql("ALTER TABLE posts ADD CONSTRAINT pair UNIQUE (author, id)")
    project.wants("name: pair, table: posts, keys: [author, id], unique: yes").assert_settled()
    plan = project.wants("name: pair, table: posts, keys: [id, author], unique: yes").plan()
    assert plan.steps == ()
    assert "it backs constraint pair" in finding(plan, "needed-by-constraint").message


def test_an_invalid_index_is_repaired(project: Project, posts: Database) -> None:
    break_index(posts, "CREATE UNIQUE INDEX CONCURRENTLY by_author ON posts (author)")
    step = only(project.wants(AUTHOR).plan())
    assert step.action.value == "repair"
    assert step.statements[0] == 'DROP INDEX CONCURRENTLY "public"."by_author"'
    project.assert_converges()
    assert invalid_indexes(posts) == []


@pytest.mark.parametrize("name", ["by_author", "b" * 63, "ж" * 31], ids=["short", "long", "long-wide"])
def test_leftovers_of_reindex_are_removed(project: Project, posts: Database, name: str) -> None:
    posts.sql(f'CREATE INDEX "{name}" ON posts (author)')
    # A unique index that is INVALID and has duplicates: REINDEX CONCURRENTLY fails and leaves a second one.
    posts.sql("CREATE TABLE aside (author int); CREATE INDEX stranger_ccnew ON aside (author)")
    for number in ("", "1"):
        leftover = name.encode()[: 63 - len("_ccnew" + number)].decode(errors="ignore") + "_ccnew" + number
        break_index(posts, f'CREATE UNIQUE INDEX CONCURRENTLY "{leftover}" ON posts (author)')
    plan = project.wants(f"name: '{name}', table: posts, keys: [author]").plan()
    assert actions(plan) == [("repair", name), ("repair", name)]
    project.assert_converges()
    assert index_names(posts, "posts") == sorted([name, "posts_pkey"])


def test_a_real_reindex_that_failed(project: Project, posts: Database) -> None:
    posts.sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)")
    break_index(posts, "CREATE UNIQUE INDEX CONCURRENTLY uniq ON t (a)")
    break_index(posts, "REINDEX INDEX CONCURRENTLY uniq")
    assert len(invalid_indexes(posts)) == 2
    posts.sql("DELETE FROM t; INSERT INTO t VALUES (1)")
    project.wants("name: uniq, table: t, keys: [a], unique: yes").assert_converges()
    assert index_names(posts, "t") == ["uniq"]


def test_names_that_only_look_like_leftovers_stay(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (author); CREATE INDEX by_author_ccnew ON posts (title)")
    break_index(posts, "CREATE UNIQUE INDEX CONCURRENTLY by_author_ccnewer ON posts (author)")
    plan = project.wants(AUTHOR).plan()
    assert plan.steps == ()
    assert finding(plan, "invalid-index").index == "by_author_ccnewer"


def test_our_own_working_copies_are_removed(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (author); CREATE INDEX by_author_dbopt_old ON posts (title)")
    break_index(posts, "CREATE UNIQUE INDEX CONCURRENTLY by_author_dbopt_new ON posts (author)")
    assert actions(project.wants(AUTHOR).plan()) == [("repair", "by_author"), ("repair", "by_author")]
    project.assert_converges()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


GONE = "name: gone, table: posts, state: absent"


def test_absent(project: Project, posts: Database) -> None:
    project.wants("name: gone, table: posts, keys: [author]").assert_converges()
    plan = project.wants(GONE).plan()
    assert only(plan).statements == ('DROP INDEX CONCURRENTLY "public"."gone"',)
    project.assert_converges()
    assert index_names(posts, "posts") == ["posts_pkey"]


def test_absent_is_refused_for_an_unmarked_index(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX gone ON posts (author)")
    plan = project.wants(GONE).plan()
    assert plan.steps == ()
    assert finding(plan, "foreign-index").hint == "If it is yours to drop, say so with --prune-foreign."
    assert actions(project.plan(prune_foreign=True)) == [("drop", "gone")]


def test_absent_is_refused_for_a_constraint(project: Project, posts: Database) -> None:
    plan = project.wants("name: posts_pkey, table: posts, state: absent").plan(prune_foreign=True)
    assert plan.steps == ()
    assert "it backs constraint posts_pkey" in finding(plan, "needed-by-constraint").message


def test_absent_of_what_is_not_there(project: Project, posts: Database) -> None:
    plan = project.wants(GONE, "name: g, table: nowhere, state: absent").plan()
    assert (plan.steps, len(plan.unchanged)) == ((), 2)


def test_extras(project: Project, posts: Database) -> None:
    project.wants(AUTHOR, "name: mine, table: posts, keys: [title]").assert_converges()
    posts.sql("CREATE INDEX theirs ON posts (title, state)")
    project.wants(AUTHOR)
    spec = project.folder / "shop.yaml"
    ignore = spec.read_text()

    def with_extras(how: str) -> Plan:
        spec.write_text(ignore.replace("{schema: public}", f"{{schema: public, extras: {how}}}"))
        return project.plan()

    assert (project.plan().steps, project.plan().findings) == ((), ())
    report = with_extras("report")
    assert [one.index for one in report.findings if one.code == "extra-index"] == ["mine", "theirs"]
    assert report.steps == ()
    assert actions(with_extras("prune, guard: {unused_for: 1ms}")) == [("drop", "mine")]
    project.assert_converges()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey", "theirs"]


def test_a_changed_why_changes_the_comment(project: Project, posts: Database) -> None:
    project.wants(AUTHOR).assert_converges()
    spec = project.folder / "shop.yaml"
    spec.write_text(spec.read_text().replace("why: a test", "why: it's another reason"))
    assert actions(project.plan()) == [("comment", "by_author")]
    project.assert_converges()
    comment = index_comment(posts, "by_author")
    assert comment is not None
    assert comment.startswith("it's another reason [dbopt:1 shop/by_author sha=")


def test_a_comment_that_was_there_stays_in_front(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (author, id); COMMENT ON INDEX by_author IS 'ask Alice [first]'")
    project.wants(AUTHOR).assert_converges()
    comment = index_comment(posts, "by_author")
    assert comment is not None
    assert comment.startswith("ask Alice [first] [dbopt:1 shop/by_author sha=")
    assert comment.endswith(" kept]")


def test_an_unmarked_index_that_is_right_is_left_alone(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (author)")
    project.wants(AUTHOR).assert_settled()
    assert index_comment(posts, "by_author") is None


def test_a_table_that_was_never_analyzed(project: Project, database: Database) -> None:
    database.sql("CREATE TABLE posts (author int); INSERT INTO posts SELECT generate_series(1, 100)")
    plan = project.wants(AUTHOR).plan()
    assert actions(plan) == [("create", "by_author"), ("analyze", None)]
    project.assert_converges()


def test_an_expression_index_is_analyzed(project: Project, posts: Database) -> None:
    expression = "name: by_title, table: posts, keys: [{expr: lower(title)}]"
    assert actions(project.wants(expression).plan()) == [("create", "by_title"), ("analyze", None)]
    assert actions(project.wants(AUTHOR).plan()) == [("create", "by_author")]
    project.wants(expression).assert_converges()
    comment = index_comment(posts, "by_title")
    again = "DROP INDEX by_title; CREATE INDEX by_title ON posts (lower(title))"
    posts.sql(f"{again}; COMMENT ON INDEX by_title IS '{comment}'")
    assert actions(project.plan()) == [("analyze", None)]  # a run that was killed before it
    project.assert_converges()
    posts.sql(again)
    plan = project.plan()
    assert plan.steps == ()
    assert [(found.code, "ANALYZE" in (found.hint or "")) for found in plan.findings] == [("never-analyzed", True)]
