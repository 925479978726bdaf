#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "common/http/address.h"

static bool is_public(const char *text)
{
    struct sockaddr_storage storage;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
    memset(&storage, 0, sizeof storage);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        storage.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
        storage.ss_family = AF_INET6;
    else
        fail_msg("no address: %s", text);
    return address_public((struct sockaddr *)&storage);
}

/* The last address before and the first after a range are outside of it. */
static void test_public(void **state)
{
    static const char *const rows[] = {
        "1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0",
        "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0",
        "223.255.255.255", "2001:4860:4860::8888", "2a00:1450:4001::1", "2600::", "2003::1", "2001:200::1", "3fff:1000::",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!is_public(rows[i]))
            fail_msg("refused: %s", rows[i]);
    }
}

static void test_not_public(void **state)
{
    static const char *const rows[] = {
        "0.0.0.0", "0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.100.100.200", "127.0.0.1",
        "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
        "192.168.0.1", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.7", "224.0.0.1",
        "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::10.0.0.1",
        "64:ff9b::7f00:1", "100::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2002:7f00:1::",
        "2001::1", "2001:10::1", "2001:db8::1", "3fff::1", "4000::1",
    };
    const struct sockaddr_un local = {.sun_family = AF_UNIX};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (is_public(rows[i]))
            fail_msg("taken: %s", rows[i]);
    }
    assert_false(address_public((const struct sockaddr *)&local));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_public), cmocka_unit_test(test_not_public)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
