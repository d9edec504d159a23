"""Functions of PostgreSQL, and of the extensions that come along with it, that write to no table.

What is not among them may: whoever reads `SELECT close_month()` cannot tell. Of functions that run a text as a query
(query_to_xml, ts_stat, dblink) nobody can tell either, so they are left out on purpose.
"""

from __future__ import annotations

# Aggregates and windows; NULLs; numbers; texts; times; arrays; JSON and XML; full text search; ranges, networks and
# geometry; sequences, settings, transactions.
_NAMES = """
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp cume_dist
    dense_rank every first_value lag last_value lead max min mode nth_value ntile percent_rank
    percentile_cont percentile_disc range_agg range_intersect_agg rank regr_avgx regr_avgy regr_count regr_intercept
    regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop stddev_samp string_agg sum var_pop
    var_samp variance

    num_nonnulls num_nulls

    abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd
    degrees div erf erfc exp factorial floor gamma gcd lcm lgamma ln log log10 min_scale mod pi pow power radians
    random random_normal round scale setseed sign sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket

    ascii bit_count bit_length btrim casefold char_length character_length chr concat concat_ws convert convert_from
    convert_to crc32 crc32c decode encode format get_bit get_byte initcap is_normalized left length like like_escape
    lower lpad ltrim md5 normalize notlike octet_length overlay parse_ident position quote_ident quote_literal
    quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim set_bit set_byte
    sha224 sha256 sha384 sha512 similar_to_escape split_part starts_with string_to_array string_to_table strpos substr
    substring text to_ascii to_bin to_char to_hex to_number to_oct translate unicode_assigned unistr upper

    age clock_timestamp date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days
    justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps
    statement_timestamp timeofday timezone to_date to_timestamp transaction_timestamp

    array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_string
    array_upper cardinality generate_series generate_subscripts trim_array unnest

    array_to_json json_agg json_agg_strict json_array_elements json_array_elements_text json_array_length
    json_build_array json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object
    json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict json_object_keys
    json_populate_record json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_typeof
    jsonb_agg jsonb_agg_strict jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
    jsonb_build_object jsonb_concat jsonb_delete jsonb_delete_path jsonb_each jsonb_each_text jsonb_extract_path
    jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique
    jsonb_object_agg_unique_strict jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz jsonb_path_match
    jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first
    jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset jsonb_pretty
    jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof row_to_json to_json
    to_jsonb xml_is_well_formed xmlagg xmlcomment xmlexists xmltext xpath xpath_exists

    array_to_tsvector get_current_ts_config json_to_tsvector jsonb_to_tsvector numnode phraseto_tsquery
    plainto_tsquery querytree setweight strip to_tsquery to_tsvector ts_debug ts_delete ts_filter ts_headline ts_lexize
    ts_parse ts_rank ts_rank_cd ts_token_type tsquery_phrase tsvector_to_array websearch_to_tsquery

    abbrev area box broadcast center circle datemultirange daterange diagonal family height host hostmask
    inet_merge inet_same_family int4multirange int4range int8multirange int8range isempty line lower_inc lower_inf
    lseg macaddr8_set7bit masklen multirange netmask network nummultirange numrange path point polygon radius
    range_merge set_masklen slope tsmultirange tsrange tstzmultirange tstzrange upper_inc upper_inf width

    col_description current_database current_query current_schema current_schemas current_setting currval enum_first
    enum_last enum_range format_type gen_random_uuid has_any_column_privilege has_column_privilege
    has_database_privilege has_function_privilege has_schema_privilege has_sequence_privilege has_table_privilege
    has_type_privilege inet_client_addr inet_client_port inet_server_addr inet_server_port lastval nextval
    obj_description row_security_active set_config setval shobj_description to_regclass to_regnamespace to_regproc
    to_regprocedure to_regrole to_regtype txid_current txid_current_if_assigned txid_current_snapshot txid_status
    uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 version
    """
# Of pg_trgm, unaccent, pgcrypto, uuid-ossp and fuzzystrmatch.
_OF_EXTENSIONS = """
    show_limit show_trgm similarity strict_word_similarity unaccent word_similarity
    armor crypt dearmor decrypt decrypt_iv digest encrypt encrypt_iv gen_random_bytes gen_salt hmac pgp_pub_decrypt
    pgp_pub_encrypt pgp_sym_decrypt pgp_sym_encrypt uuid_generate_v1 uuid_generate_v1mc uuid_generate_v3
    uuid_generate_v4 uuid_generate_v5 uuid_nil daitch_mokotoff difference dmetaphone dmetaphone_alt levenshtein
    levenshtein_less_equal metaphone soundex
    """
BUILT_IN = frozenset(_NAMES.split())
HARMLESS = BUILT_IN | frozenset(_OF_EXTENSIONS.split())
# The server's own (sizes, locks, definitions), and those of PostGIS.
PREFIXES = ("pg_", "st_")
