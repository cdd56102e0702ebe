/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/json.h"
#include "snapd/view.h"
#include "tests/lib/test.h"

static char *dump(json_t *json)
{
        char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

        ASSERT(text != NULL);
        json_decref(json);
        return text;
}

#define ASSERT_JSON(call, want)                                                                    \
        do {                                                                                       \
                char *text_ = dump(call);                                                          \
                                                                                                   \
                ASSERT_STR(text_, want);                                                           \
                free(text_);                                                                       \
        } while (0)

static struct version version_seven(void)
{
        return (struct version){
                .number = 7,
                .state = VERSION_KEPT,
                .mark = MARK_BAD,
                .pinned = true,
                .parent = 6,
                .tree = 12,
                .database = (char *)"shop-3",
                .label = (char *)"1.2",
                .reason = (char *)"why",
                .mark_reason = (char *)"broken",
                .verb = (char *)"upgrade",
                .operation = 9,
                .by = 0,
                .created_usec = 1700000000000000,
                .files_bytes = 10,
                .freed_bytes = -1,
                .database_bytes = 0,
                .schema_changed = -1,
        };
}

TEST(a_version_is_shown_as_documented)
{
        struct version version = version_seven();

        ASSERT_JSON(view_version(&version, "/srv/shop", 7, VIEW_ALL),
                    "{\"number\":7,\"states\":[\"kept\",\"bad\",\"pinned\",\"mounted\","
                    "\"last-good\"],\"label\":\"1.2\",\"reason\":\"why\",\"mark_reason\":"
                    "\"broken\",\"created\":\"2023-11-14T22:13:20Z\",\"by\":\"root\",\"verb\":"
                    "\"upgrade\",\"operation\":9,\"parent\":6,\"path\":\"/srv/shop/versions/7\","
                    "\"tree\":12,\"database\":\"shop-3\",\"files_bytes\":10,\"database_bytes\":0,"
                    "\"freed_bytes\":null,\"schema_changed\":null}");
}

TEST(what_visitors_get_while_an_upgrade_is_staged_is_a_state)
{
        struct version version = version_seven();
        unsigned states = 0;
        struct err err;

        ASSERT_OK(view_members("states", &states, &err));
        version.served = true;
        ASSERT_JSON(view_version(&version, NULL, 0, states),
                    "{\"states\":[\"kept\",\"served\",\"bad\",\"pinned\"]}");
        version = (struct version){ .number = 8, .staged = true };
        ASSERT_JSON(view_version(&version, NULL, 0, states),
                    "{\"states\":[\"active\",\"staged\",\"mounted\"]}");
}

TEST(a_version_is_shown_with_the_members_that_were_asked_for)
{
        struct version version = version_seven();
        unsigned members = 0;
        struct err err;

        ASSERT_OK(view_members("freed_bytes,number,label,number", &members, &err));
        ASSERT_JSON(view_version(&version, "/srv/shop", 7, members),
                    "{\"number\":7,\"label\":\"1.2\",\"freed_bytes\":null}");
        ASSERT_JSON(view_row(&version, "/srv/shop", 7, members), "[7,\"1.2\",null]");
        ASSERT_JSON(view_row_members(members), "[\"number\",\"label\",\"freed_bytes\"]");
        ASSERT_ERR(view_members("number,size", &members, &err), ERR_INVALID,
                   "a version has no member 'size'");
        ASSERT_ERR(view_members("", &members, &err), ERR_INVALID, "no member ''");
        ASSERT_ERR(view_members("number,", &members, &err), ERR_INVALID, "no member ''");
}

TEST(what_is_not_known_is_null)
{
        struct version version = { .number = 1,
                                   .files_bytes = -1,
                                   .freed_bytes = -1,
                                   .database_bytes = -1,
                                   .schema_changed = -1,
                                   .by = 4000000000U };

        ASSERT_JSON(view_version(&version, NULL, 0, VIEW_ALL),
                    "{\"number\":1,\"states\":[\"active\",\"mounted\"],\"label\":null,\"reason\":"
                    "null,\"mark_reason\":null,\"created\":null,\"by\":\"4000000000\",\"verb\":"
                    "null,\"operation\":null,\"parent\":null,\"path\":null,\"tree\":null,"
                    "\"database\":null,\"files_bytes\":null,\"database_bytes\":null,"
                    "\"freed_bytes\":null,\"schema_changed\":null}");
}

TEST(a_site_is_shown_in_each_of_its_states)
{
        struct catalog_site catalog = { .name = (char *)"shop",
                                        .driver = (char *)"btrfs",
                                        .pool = (char *)"/p",
                                        .active = 3,
                                        .last_good = 2,
                                        .versions = 3 };
        char *shared[] = { (char *)"uploads", NULL };
        struct site site = { .home = (char *)"/srv/shop",
                             .owner = (char *)"www",
                             .docroot = (char *)"/var/www/shop",
                             .driver = (char *)"auto",
                             .track = (char *)"stable",
                             .automatic = (char *)"no",
                             .shared = shared,
                             .n_shared = 1,
                             .database = { .engine = (char *)"sqlite" } };
        struct op open = { .id = 5, .state = OP_HELD };

        ASSERT_JSON(view_site("shop", &catalog, &site, NULL),
                    "{\"name\":\"shop\",\"home\":\"/srv/shop\",\"owner\":\"www\",\"driver\":"
                    "\"btrfs\",\"docroot\":\"/var/www/shop\",\"pool\":\"/p\",\"state\":\"ok\","
                    "\"active\":3,\"last_good\":2,\"versions\":3,\"shared\":[\"uploads\"],"
                    "\"database\":\"sqlite\",\"track\":\"stable\","
                    "\"automatic_updates\":false,\"operation\":null}");
        ASSERT_JSON(view_site("shop", NULL, NULL, NULL),
                    "{\"name\":\"shop\",\"home\":null,\"owner\":null,\"driver\":null,\"docroot\":"
                    "null,\"pool\":null,\"state\":\"unadopted\",\"active\":null,\"last_good\":null,"
                    "\"versions\":0,\"shared\":[],\"database\":null,\"track\":null,"
                    "\"automatic_updates\":null,\"operation\":null}");
        ASSERT_JSON(view_site("shop", NULL, NULL, &open),
                    "{\"name\":\"shop\",\"home\":null,\"owner\":null,\"driver\":null,\"docroot\":"
                    "null,\"pool\":null,\"state\":\"held\",\"active\":null,\"last_good\":null,"
                    "\"versions\":0,\"shared\":[],\"database\":null,\"track\":null,"
                    "\"automatic_updates\":null,\"operation\":5}");
}

TEST(an_operation_is_shown_with_its_steps)
{
        struct op_step steps[] = {
                { .part = PLAN_MAIN,
                  .n = 0,
                  .kind = (char *)"from.the.future",
                  .mark = STEP_RUNNING,
                  .started_usec = 1700000000000000,
                  .progress_done = 5,
                  .progress_all = 10 },
        };
        struct op op = { .id = 9,
                         .site = (char *)"shop",
                         .verb = (char *)"upgrade",
                         .state = OP_RUNNING,
                         .by = 0,
                         .reason = (char *)"",
                         .seq = 4,
                         .created_usec = 1700000000000000,
                         .steps = steps,
                         .n_steps = 1,
                         .error = { .code = ERR_BUSY, .msg = "it\xff is" } };

        ASSERT_JSON(view_operation(&op, "/s", true),
                    "{\"id\":9,\"site\":\"shop\",\"verb\":\"upgrade\",\"state\":\"running\","
                    "\"by\":\"root\",\"reason\":\"\",\"created\":\"2023-11-14T22:13:20Z\","
                    "\"served\":null,\"ended\":null,\"seq\":4,\"version\":null,"
                    "\"error\":{\"code\":\"busy\","
                    "\"message\":\"it\xef\xbf\xbd is\",\"exit\":3},\"log\":null,"
                    "\"steps\":[{\"part\":\"main\",\"n\":0,\"kind\":\"from.the.future\",\"text\":"
                    "\"from.the.future\",\"mark\":\"running\",\"progress\":{\"done\":5,\"all\":10,"
                    "\"unit\":\"bytes\"},\"started\":\"2023-11-14T22:13:20Z\",\"ended\":null}]}");
}

TEST(every_error_has_a_status)
{
        static const unsigned want[ERR_CODES] = {
                [ERR_INVALID] = 400,  [ERR_NOT_FOUND] = 404, [ERR_EXISTS] = 409,
                [ERR_BUSY] = 409,     [ERR_DENIED] = 403,    [ERR_UNSUPPORTED] = 501,
                [ERR_NO_SPACE] = 507, [ERR_TIMEOUT] = 504,   [ERR_CORRUPT] = 500,
                [ERR_IO] = 500,       [ERR_REFUSED] = 409,   [ERR_ROLLED_BACK] = 500,
                [ERR_HELD] = 500,     [ERR_NOTHING] = 409,
        };

        for (int code = 1; code < ERR_CODES; code++)
                ASSERT_EQ(view_status((enum err_code)code), want[code]);
        ASSERT_EQ(view_status((enum err_code)99), 500);
}

static const char *text_of(const char *bytes, size_t n, size_t *used)
{
        static char out[200];
        json_t *text = view_text(bytes, n, used);

        (void)snprintf(out, sizeof(out), "%s", json_string_value(text));
        json_decref(text);
        return out;
}

#define MARK "\xef\xbf\xbd"

TEST(text_is_utf8_whatever_came)
{
        ASSERT_STR(text_of("plain", 5, NULL), "plain");
        ASSERT_STR(text_of("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", 11, NULL),
                   "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
        ASSERT_STR(text_of("a\0b", 3, NULL), "a" MARK "b");
        ASSERT_STR(text_of("\xc0\xaf", 2, NULL), MARK MARK);          /* overlong */
        ASSERT_STR(text_of("\xed\xa0\x80", 3, NULL), MARK MARK MARK); /* a surrogate */
        ASSERT_STR(text_of("\xf5\x80\x80\x80", 4, NULL), MARK MARK MARK MARK);
        ASSERT_STR(text_of("\xe2\x82", 2, NULL), MARK MARK);
        ASSERT_STR(text_of("\xe2(", 2, NULL), MARK "(");
}

TEST(a_character_cut_at_the_end_is_left_for_later)
{
        size_t used;

        ASSERT_STR(text_of("a\xe2\x82", 3, &used), "a");
        ASSERT_EQ(used, 1);
        ASSERT_STR(text_of("\xe2\x82\xac", 3, &used), "\xe2\x82\xac");
        ASSERT_EQ(used, 3);
        ASSERT_STR(text_of("\xff", 1, &used), MARK);
        ASSERT_EQ(used, 1);
}
