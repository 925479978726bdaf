#include "warmer/name.h"

#include <string.h>

#include "common/base/base.h"
#include "tests/unit/unit.h"

static const struct {
    const char *full, *first;
} names[] = {
    /* given name first */
    {"Dana Levy", "Dana"},
    {"  Dana   Levy ", "Dana"},
    {"Dana", "Dana"},
    {"Dana\tLevy", "Dana"},
    {"Dana\u00a0Levy", "Dana"},
    {"Zoë Müller", "Zoë"},
    {"Дмитрий Иванов", "Дмитрий"},
    {"Αλέξανδρος Παπαδόπουλος", "Αλέξανδρος"},
    {"दीपिका शर्मा", "दीपिका"},
    {"D'Arcy Jones", "D'Arcy"},
    {"\"Dana\" Levy", "Dana"},
    /* honorifics, before and behind */
    {"Dr. Dana Levy", "Dana"},
    {"DR Dana Levy", "Dana"},
    {"Prof. Dr. Dana Levy", "Dana"},
    {"Mrs. Dana Levy", "Dana"},
    {"Frau Dana Müller", "Dana"},
    {"Señora Ana Díaz", "Ana"},
    {"Dana Levy, PhD", "Dana"},
    {"John Smith, Jr.", "John"},
    {"Dr. Cohen", ""},
    {"Mr.", ""},
    /* family name, then a comma */
    {"Levy, Dana", "Dana"},
    {"Levy , Dana Ruth", "Dana"},
    {"Levy,Dana", "Dana"},
    {"Levy, Dr. Dana", "Dana"},
    {"Levy,", "Levy"},
    /* two words that are one name */
    {"Mary Ann Smith", "Mary Ann"},
    {"Mary Ann", "Mary"},
    {"Jean-Luc Picard", "Jean-Luc"},
    {"Jean Pierre Dupont", "Jean Pierre"},
    {"José Luis García", "José Luis"},
    {"Abdul Rahman", "Abdul Rahman"},
    {"Abd al-Rahman Hassan", "Abd al-Rahman"},
    {"Abd Al Rahman Hassan", "Abd Al Rahman"},
    {"בת שבע כהן", "בת שבע"},
    /* initials */
    {"J. Robert Oppenheimer", "Robert"},
    {"J. Smith", ""},
    {"J", ""},
    {"J.", ""},
    /* Hebrew */
    {"דנה לוי", "דנה"},
    {"ד\"ר דנה לוי", "דנה"},
    {"ד״ר דנה לוי", "דנה"},
    {"גב' רות כהן", "רות"},
    {"כהן, רות", "רות"},
    {"גב' כהן", ""},
    /* marks that only steer the direction of writing; letters joined or parted inside a word */
    {"\u200fדנה לוי", "דנה"},
    {"\u202bדנה\u202c לוי", "דנה"},
    {"\u2067דנה\u2069 \u2067לוי\u2069", "דנה"},
    {"\ufeffDana Levy", "Dana"},
    {"\u061cأحمد حسن", "أحمد"},
    {"علی\u200cرضا کریمی", "علی\u200cرضا"},
    {"\u200f", ""},
    /* Arabic */
    {"محمد علي", "محمد"},
    {"السيد محمد علي", "محمد"},
    {"د. أحمد حسن", "أحمد"},
    {"دكتور أحمد", "أحمد"},
    {"عبد الله حسن", "عبد الله"},
    {"حسن، أحمد", "أحمد"},
    /* Chinese */
    {"王小明", "小明"},
    {"王伟", "伟"},
    {"欧阳娜娜", "娜娜"},
    {"司马光", "光"},
    {"王小明先生", "小明"},
    {"王先生", ""},
    {"王 小明", "小明"},
    {"约翰·史密斯", "约翰"},
    /* Japanese */
    {"山田太郎", "太郎"},
    {"山田 太郎", "太郎"},
    {"山田　太郎", "太郎"},
    {"山田 太郎 様", "太郎"},
    {"山田はなこ", "はなこ"},
    {"さくら", "さくら"},
    {"ジョン・スミス", "ジョン"},
    /* Korean */
    {"김민수", "민수"},
    {"김 민수", "민수"},
    {"남궁민수", "민수"},
    {"김민수 님", "민수"},
    /* Vietnamese */
    {"Nguyễn Văn An", "An"},
    {"Trần Thị Mai", "Mai"},
    /* no name at all */
    {"", ""},
    {"   ", ""},
    {"unknown", ""},
    {"Anonymous", ""},
    {"N/A", ""},
    {"+14155550123", ""},
    {"dana@example.com", ""},
    {"Room 12", "Room"},
    {"12 Monkeys", ""},
    {"{{secret}}", ""},
    {",", ""},
    {"\"\"", ""},
    {"\xff\xfe", ""},
    {"\xed\xa0\x80", ""},
    {"\xc0\xaf", ""},
    {"Dana \xc3", ""},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char first[NAME_SIZE];
        name_first(first, names[i].full);
        if (strcmp(first, names[i].first) != 0)
            print_error("of \"%s\"\n", names[i].full);
        assert_string_equal(first, names[i].first);
    }
}

static void test_long(void **state)
{
    char first[NAME_SIZE], full[1000];
    (void)state;
    /* Cut between characters, never inside one: 2 bytes each, and 63 is odd. */
    memset(full, 0, sizeof full);
    for (int i = 0; i < 50; i++)
        strcat(full, "é");
    name_first(first, full);
    assert_int_equal(strlen(first), 62);
    memset(full, 'x', sizeof full - 1);
    name_first(first, full);
    assert_string_equal(first, "");
    /* More words than are looked at. */
    memset(full, 0, sizeof full);
    for (int i = 0; i < 60; i++)
        strcat(full, "ab ");
    name_first(first, full);
    assert_string_equal(first, "ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
