/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/words.h"
#include "tests/lib/test.h"

static struct err err;

static void splits(const char *line, const char *const *want)
{
        char **words = NULL;
        size_t n = 0, i = 0;

        ASSERT_OK(words_split(line, &words, &n, &err));
        for (; want[i] != NULL; i++)
                ASSERT_STR(words[i], want[i]);
        ASSERT_EQ(n, i);
        ASSERT(words[n] == NULL);
        words_free(words);
}

TEST(lines_are_taken_apart)
{
        splits("", (const char *const[]){ NULL });
        splits("  \t ", (const char *const[]){ NULL });
        splits(" /bin/a  -b\tc ", (const char *const[]){ "/bin/a", "-b", "c", NULL });
        splits("\"a b\" \"\" \"c\\\"d\" \"e\\\\\"",
               (const char *const[]){ "a b", "", "c\"d", "e\\", NULL });
        splits("$(id) `x` 'y z' * a\\ b \"a\\nb\"",
               (const char *const[]){ "$(id)", "`x`", "'y", "z'", "*", "a\\", "b", "a\\nb", NULL });
}

TEST(half_a_quote_is_refused)
{
        char **words = NULL;

        ASSERT_ERR(words_split("a \"b", &words, NULL, &err), ERR_INVALID, "without its other half");
        ASSERT_ERR(words_split("\"a\\\"", &words, NULL, &err), ERR_INVALID, "other half");
        ASSERT_ERR(words_split("\"a\"b", &words, NULL, &err), ERR_INVALID, "no blank after");
        ASSERT_ERR(words_split("a\"b\"", &words, NULL, &err), ERR_INVALID,
                   "inside the word 'a\"b\"'");
        ASSERT(words == NULL);
}

TEST(a_program_has_an_absolute_path)
{
        static const char *const wrong[] = { "", "  ", "php x", "./run", "\"\" /bin/true" };
        char **words = NULL;
        size_t n = 0;

        ASSERT_OK(words_program("/bin/echo \"a b\" c", &words, &n, &err));
        ASSERT_EQ(n, 3);
        ASSERT_STR(words[1], "a b");
        words_free(words);
        words = NULL;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                ASSERT_ERR(words_program(wrong[i], &words, &n, &err), ERR_INVALID,
                           "there is no shell and no PATH");
        ASSERT_ERR(words_program("/bin/echo \"", &words, &n, &err), ERR_INVALID, "");
        ASSERT(words == NULL);
}

/* Words of all lengths out of the letters that mean something. */
TEST(joined_words_come_apart_again)
{
        static const char letters[] = "ab \t\"\\'#;$=";
        unsigned seed = 1;

        for (unsigned run = 0; run < 20000; run++) {
                char text[4][8] = { "" }, *line = NULL, **again = NULL;
                char *words[5] = { NULL };
                size_t n = run % 5;

                for (size_t i = 0; i < n; i++) {
                        size_t len = (size_t)(rand_r(&seed) % 8);

                        for (size_t j = 0; j < len; j++)
                                text[i][j] = letters[(size_t)rand_r(&seed) % (sizeof(letters) - 1)];
                        words[i] = text[i];
                }
                ASSERT_OK(words_join((const char *const *)words, &line, &err));
                ASSERT_OK(words_split(line, &again, NULL, &err));
                ASSERT(words_equal(words, again));
                words_free(again);
                free(line);
        }
}
