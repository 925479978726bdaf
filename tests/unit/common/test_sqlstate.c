#include "common/pg/sqlstate.h"

#include <string.h>

#include "tests/unit/unit.h"

/* Codes from the appendix "PostgreSQL Error Codes". */
static const struct {
    const char *sqlstate;
    enum pg_fault fault;
} rows[] = {
    {NULL, PG_FAULT_SERVER},    /* no result: the connection is gone */
    {"", PG_FAULT_SERVER},
    {"23", PG_FAULT_SERVER},    /* not a SQLSTATE at all */
    {"235050", PG_FAULT_SERVER},
    {"08006", PG_FAULT_SERVER}, /* connection_failure */
    {"25006", PG_FAULT_SERVER}, /* read_only_sql_transaction: a standby after failover */
    {"40001", PG_FAULT_SERVER}, /* serialization_failure */
    {"40P01", PG_FAULT_SERVER}, /* deadlock_detected */
    {"53100", PG_FAULT_SERVER}, /* disk_full */
    {"53300", PG_FAULT_SERVER}, /* too_many_connections */
    {"55P03", PG_FAULT_SERVER}, /* lock_not_available */
    {"57014", PG_FAULT_SERVER}, /* query_canceled */
    {"57P01", PG_FAULT_SERVER}, /* admin_shutdown */
    {"57P03", PG_FAULT_SERVER}, /* cannot_connect_now */
    {"58030", PG_FAULT_SERVER}, /* io_error */
    {"28P01", PG_FAULT_SERVER}, /* invalid_password: rotated, comes right again */
    {"XX000", PG_FAULT_SERVER}, /* internal_error */
    {"22001", PG_FAULT_DATA},   /* string_data_right_truncation */
    {"22021", PG_FAULT_DATA},   /* character_not_in_repertoire */
    {"22P02", PG_FAULT_DATA},   /* invalid_text_representation */
    {"21000", PG_FAULT_DATA},   /* cardinality_violation */
    {"23502", PG_FAULT_DATA},   /* not_null_violation */
    {"23503", PG_FAULT_DATA},   /* foreign_key_violation */
    {"23505", PG_FAULT_DATA},   /* unique_violation */
    {"23P01", PG_FAULT_DATA},   /* exclusion_violation */
    {"44000", PG_FAULT_DATA},   /* with_check_option_violation */
    {"54000", PG_FAULT_DATA},   /* program_limit_exceeded: a value too large for its index */
    {"P0001", PG_FAULT_DATA},   /* raise_exception, in somebody's trigger */
    {"42P01", PG_FAULT_SCHEMA}, /* undefined_table */
    {"42703", PG_FAULT_SCHEMA}, /* undefined_column */
    {"42501", PG_FAULT_SCHEMA}, /* insufficient_privilege */
    {"42601", PG_FAULT_SCHEMA}, /* syntax_error, in an override */
    {"3F000", PG_FAULT_SCHEMA}, /* invalid_schema_name */
    {"3D000", PG_FAULT_SCHEMA}, /* invalid_catalog_name */
    {"0A000", PG_FAULT_SCHEMA}, /* feature_not_supported */
};

static void test_whose_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (pg_fault_of(rows[i].sqlstate) != rows[i].fault)
            fail_msg("%s is taken for %d", rows[i].sqlstate ? rows[i].sqlstate : "NULL",
                     (int)pg_fault_of(rows[i].sqlstate));
    }
}

/* Strange: of the server's, and none of what passes by itself. */
static void test_what_is_strange(void **state)
{
    static const char *const strange[] = {"XX000", "XX001", "38000", "F0000", "2F005"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strange); i++)
        assert_true(pg_fault_is_strange(strange[i]));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].sqlstate && strcmp(rows[i].sqlstate, "XX000") == 0)
            continue;
        if (pg_fault_is_strange(rows[i].sqlstate))
            fail_msg("%s is taken for strange", rows[i].sqlstate);
    }
}

static void test_what_may_be_a_part_s(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *sqlstate = rows[i].sqlstate ? rows[i].sqlstate : "NULL";
        bool partial = strstr("XX000 55P03 57014 42P01 42703 42501 42601 3F000", sqlstate) && strlen(sqlstate) == 5;
        if (pg_fault_may_be_partial(rows[i].sqlstate) != partial)
            fail_msg("%s is %staken for a part's", sqlstate, partial ? "not " : "");
    }
}

static void test_what_a_pooler_did_comes_with_advice(void **state)
{
    (void)state;
    assert_non_null(strstr(pg_shared_session_advice("42P05"), "max_prepared_statements"));
    assert_string_equal(pg_shared_session_advice("26000"), pg_shared_session_advice("42P05"));
    assert_string_equal(pg_shared_session_advice("42P01"), "");
    assert_string_equal(pg_shared_session_advice(NULL), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whose_fault), cmocka_unit_test(test_what_is_strange),
                                       cmocka_unit_test(test_what_may_be_a_part_s),
                                       cmocka_unit_test(test_what_a_pooler_did_comes_with_advice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
