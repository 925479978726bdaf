#include "common/http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const struct {
    uint32_t net;
    int bits;
} special[] = {
    {0x00000000, 8},  /* this network */
    {0x0A000000, 8},  /* private */
    {0x64400000, 10}, /* shared (carrier NAT) */
    {0x7F000000, 8},  /* loopback */
    {0xA9FE0000, 16}, /* link-local, cloud metadata */
    {0xAC100000, 12}, /* private */
    {0xC0000000, 24}, /* protocol assignments */
    {0xC0000200, 24}, /* documentation */
    {0xC0586300, 24}, /* 6to4 relays */
    {0xC0A80000, 16}, /* private */
    {0xC6120000, 15}, /* benchmarks */
    {0xC6336400, 24}, /* documentation */
    {0xCB007100, 24}, /* documentation */
    {0xE0000000, 3},  /* multicast and reserved */
};

static bool public4(uint32_t address)
{
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        if ((address ^ special[i].net) >> (32 - special[i].bits) == 0)
            return false;
    }
    return true;
}

/* Only 2000::/3 is given out; some of it is special again. */
static bool public6(const uint8_t a[16])
{
    if (a[0] >> 5 != 1)
        return false;
    if (a[0] == 0x20 && a[1] == 0x01 && (a[2] < 0x02 || (a[2] == 0x0D && a[3] == 0xB8))) /* Teredo, ..., documentation */
        return false;
    if (a[0] == 0x3F && a[1] == 0xFF && a[2] < 0x10) /* documentation */
        return false;
    return !(a[0] == 0x20 && a[1] == 0x02); /* 6to4 */
}

bool address_public(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, addr, sizeof in);
        return public4(ntohl(in.sin_addr.s_addr));
    }
    if (addr->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, addr, sizeof in);
        return public6(in.sin6_addr.s6_addr);
    }
    return false;
}
