CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE targets (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	server TEXT NOT NULL,
	dbname TEXT NOT NULL,
	CONSTRAINT uq_targets_server_dbname UNIQUE (server, dbname)
);
CREATE TABLE runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target_id INTEGER NOT NULL,
	target_name TEXT NOT NULL,
	command TEXT NOT NULL,
	dbopt_version TEXT NOT NULL,
	server_version TEXT NOT NULL,
	os_user TEXT NOT NULL,
	role TEXT NOT NULL,
	spec_digest TEXT,
	plan_state TEXT NOT NULL,
	planned INTEGER NOT NULL,
	started_at DATETIME NOT NULL,
	finished_at DATETIME,
	seconds DOUBLE,
	applied INTEGER,
	failed INTEGER,
	refused INTEGER,
	unchanged INTEGER,
	interrupted BOOLEAN, name TEXT, left_over INTEGER,
	CONSTRAINT fk_runs_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE INDEX ix_runs_target_id ON runs (target_id);
CREATE INDEX ix_runs_started_at ON runs (started_at);
CREATE TABLE steps (
	run_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	action TEXT NOT NULL,
	domain TEXT,
	schema_name TEXT NOT NULL,
	table_name TEXT NOT NULL,
	index_name TEXT,
	reason TEXT NOT NULL,
	statements JSON NOT NULL,
	started_at DATETIME NOT NULL,
	seconds DOUBLE,
	size_bytes BIGINT,
	error TEXT,
	hint TEXT, size_before_bytes BIGINT, built_seconds DOUBLE, table_bytes BIGINT,
	CONSTRAINT pk_steps PRIMARY KEY (run_id, number),
	CONSTRAINT fk_steps_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE health_runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target_id INTEGER NOT NULL,
	target_name TEXT NOT NULL,
	dbopt_version TEXT NOT NULL,
	collected_at DATETIME NOT NULL,
	seconds DOUBLE NOT NULL,
	status TEXT NOT NULL,
	checks INTEGER NOT NULL,
	CONSTRAINT fk_health_runs_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE INDEX ix_health_runs_target_id_collected_at ON health_runs (target_id, collected_at);
CREATE TABLE health_checks (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target_id INTEGER NOT NULL,
	check_id TEXT NOT NULL,
	status TEXT NOT NULL,
	first_at DATETIME NOT NULL,
	last_at DATETIME NOT NULL,
	is_over BOOLEAN NOT NULL,
	CONSTRAINT fk_health_checks_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE INDEX ix_health_checks_target_id_is_over ON health_checks (target_id, is_over);
CREATE TABLE health_findings (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target_id INTEGER NOT NULL,
	check_id TEXT NOT NULL,
	subject TEXT NOT NULL,
	status TEXT NOT NULL,
	measure DOUBLE,
	runs INTEGER NOT NULL,
	first_at DATETIME NOT NULL,
	last_at DATETIME NOT NULL,
	is_over BOOLEAN NOT NULL,
	CONSTRAINT fk_health_findings_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE INDEX ix_health_findings_target_id_is_over ON health_findings (target_id, is_over);
CREATE TABLE health_samples (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target_id INTEGER NOT NULL,
	check_id TEXT NOT NULL,
	taken_at DATETIME NOT NULL,
	counters BLOB NOT NULL,
	CONSTRAINT fk_health_samples_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE INDEX ix_health_samples_target_id_check_id ON health_samples (target_id, check_id);
CREATE TABLE snapshot_heads (
	target_id INTEGER NOT NULL,
	family TEXT NOT NULL,
	target_name TEXT NOT NULL,
	taken_at DATETIME NOT NULL,
	packed BLOB NOT NULL,
	CONSTRAINT pk_snapshot_heads PRIMARY KEY (target_id, family),
	CONSTRAINT fk_snapshot_heads_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE TABLE intervals (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target_id INTEGER NOT NULL,
	family TEXT NOT NULL,
	span INTEGER NOT NULL,
	from_at DATETIME NOT NULL,
	to_at DATETIME NOT NULL,
	packed BLOB NOT NULL,
	CONSTRAINT fk_intervals_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE INDEX ix_intervals_target_id_family_to_at_span ON intervals (target_id, family, to_at, span);
CREATE TABLE marks (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target_id INTEGER NOT NULL,
	target_name TEXT NOT NULL,
	marked_at DATETIME NOT NULL,
	kind TEXT NOT NULL,
	scope TEXT NOT NULL,
	os_user TEXT NOT NULL,
	role TEXT NOT NULL,
	CONSTRAINT fk_marks_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE INDEX ix_marks_target_id_marked_at ON marks (target_id, marked_at);
CREATE TABLE mark_parts (
	mark_id INTEGER NOT NULL,
	family TEXT NOT NULL,
	packed BLOB NOT NULL,
	CONSTRAINT pk_mark_parts PRIMARY KEY (mark_id, family),
	CONSTRAINT fk_mark_parts_mark_id FOREIGN KEY(mark_id) REFERENCES marks (id)
);
CREATE TABLE statement_texts (
	digest TEXT NOT NULL,
	"query" TEXT NOT NULL,
	CONSTRAINT pk_statement_texts PRIMARY KEY (digest)
);
CREATE TABLE statements (
	target_id INTEGER NOT NULL,
	queryid BIGINT NOT NULL,
	digest TEXT NOT NULL,
	CONSTRAINT pk_statements PRIMARY KEY (target_id, queryid),
	CONSTRAINT fk_statements_target_id FOREIGN KEY(target_id) REFERENCES targets (id),
	CONSTRAINT fk_statements_digest FOREIGN KEY(digest) REFERENCES statement_texts (digest)
);
CREATE TABLE statement_traits (
	target_id INTEGER NOT NULL,
	queryid BIGINT NOT NULL,
	dbopt_version TEXT NOT NULL,
	fingerprint TEXT NOT NULL,
	kind TEXT NOT NULL,
	relations TEXT NOT NULL,
	CONSTRAINT pk_statement_traits PRIMARY KEY (target_id, queryid),
	CONSTRAINT fk_statement_traits_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE TABLE statement_plans (
	target_id INTEGER NOT NULL,
	queryid BIGINT NOT NULL,
	planned_at DATETIME NOT NULL,
	dbopt_version TEXT NOT NULL,
	packed BLOB NOT NULL,
	CONSTRAINT pk_statement_plans PRIMARY KEY (target_id, queryid),
	CONSTRAINT fk_statement_plans_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE TABLE plan_shapes (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target_id INTEGER NOT NULL,
	queryid BIGINT NOT NULL,
	digest TEXT NOT NULL,
	summary TEXT NOT NULL,
	first_at DATETIME NOT NULL,
	last_at DATETIME NOT NULL,
	CONSTRAINT fk_plan_shapes_target_id FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE INDEX ix_plan_shapes_target_id_queryid ON plan_shapes (target_id, queryid);
CREATE TABLE suggestions (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target_id INTEGER NOT NULL,
	target_name TEXT NOT NULL,
	promised_at DATETIME NOT NULL,
	seen_at DATETIME,
	dbopt_version TEXT NOT NULL,
	schema_name TEXT NOT NULL,
	table_name TEXT NOT NULL,
	index_name TEXT NOT NULL,
	packed BLOB NOT NULL,
	CONSTRAINT fk_suggestions_target_id FOREIGN KEY(target_id) REFERENCES targets (id),
	CONSTRAINT uq_suggestions_target_id_schema_name_table_name_index_name UNIQUE (target_id, schema_name, table_name, index_name)
);
INSERT INTO alembic_version VALUES ('0006');
