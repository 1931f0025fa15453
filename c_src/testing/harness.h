/* harness.h: tests in C, one executable to a file.
 *
 *     #include "testing/harness.h"
 *
 *     TEST(an_empty_buffer_has_no_bytes)
 *     {
 *         uint64_t rng = tsu_test_seed();
 *         EXPECT(size == 0);
 *         EXPECT_EQ(tsu_rand(&rng) % 7, 3);
 *     }
 *
 *     TEST_MAIN
 *
 * Tests run in the order in which they are written. EXPECT reports and goes on,
 * REQUIRE reports and returns from the (void) function that it stands in, SKIP
 * prints the reason and returns. The last line is "N passed, N failed" or, when
 * there were any, "N passed, N failed, N skipped"; the exit status is 0 only if
 * none failed and at least one ran.
 *
 * Environment  TSU_SEED    the seed of this run (decimal or 0x...); printed first
 *              TSU_TEST    run only tests whose name contains this text
 *              TSU_ROUNDS  percent of the rounds asked of tsu_test_rounds
 * Threads      EXPECT and REQUIRE may be used in any thread; SKIP, the seed and
 *              the rounds only in the one that runs the test.
 * Limits       belongs to one translation unit; uses libc freely, as tests may.
 */
#ifndef TSU_TESTING_HARNESS_H
#define TSU_TESTING_HARNESS_H

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TSU_TEST_UNUSED __attribute__((unused))

/* Failures printed for one test; the rest are only counted. */
#define TSU_TEST_PRINT_MAX 20

typedef struct tsu_test {
    const char      *name;
    void           (*run)(void);
    struct tsu_test *next;
} tsu_test;

static struct {
    tsu_test   *first;
    tsu_test  **last;
    const char *running;        /* name of the test that runs, for the crash note */
    uint64_t    seed;
    bool        skipped;
    long        failures;       /* of the test that runs; atomic */
} tsu_test_state;

static void TSU_TEST_UNUSED tsu_test_add(tsu_test *t)
{
    if (tsu_test_state.last == NULL) tsu_test_state.last = &tsu_test_state.first;
    *tsu_test_state.last = t;
    tsu_test_state.last = &t->next;
}

/* Counts a failure; true while it is worth printing. */
static bool TSU_TEST_UNUSED tsu_test_fail(void)
{
    return __atomic_fetch_add(&tsu_test_state.failures, 1, __ATOMIC_RELAXED) < TSU_TEST_PRINT_MAX;
}

/* The seed of this run: TSU_SEED, or the system's entropy. The same for every call, so
 * that one number repeats a whole executable. */
static uint64_t TSU_TEST_UNUSED tsu_test_seed(void)
{
    return tsu_test_state.seed;
}

/* splitmix64: the next of a sequence that any state starts well. */
static uint64_t TSU_TEST_UNUSED tsu_rand(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number in 0 .. n-1; n > 0. */
static uint64_t TSU_TEST_UNUSED tsu_rand_below(uint64_t *state, uint64_t n)
{
    return tsu_rand(state) % n;
}

/* `n` rounds, or the percentage of them that TSU_ROUNDS asks for; at least 1. */
static long TSU_TEST_UNUSED tsu_test_rounds(long n)
{
    const char *percent = getenv("TSU_ROUNDS");
    long        rounds = n;

    if (percent != NULL && atol(percent) > 0) rounds = n * atol(percent) / 100;
    return rounds > 0 ? rounds : 1;
}

#define TEST(name_)                                                            \
    static void test_##name_(void);                                            \
    __attribute__((constructor)) static void test_add_##name_(void)            \
    {                                                                          \
        static tsu_test t = {#name_, test_##name_, NULL};                      \
        tsu_test_add(&t);                                                      \
    }                                                                          \
    static void test_##name_(void)

#define TSU_TEST_FAILED(...)                                                   \
    do {                                                                       \
        if (tsu_test_fail()) {                                                 \
            printf("%s:%d: %s: ", __FILE__, __LINE__, __func__);               \
            printf(__VA_ARGS__);                                               \
            printf("\n");                                                      \
            fflush(stdout);                                                    \
        }                                                                      \
    } while (0)

#define EXPECT(cond)                                                           \
    do { if (!(cond)) TSU_TEST_FAILED("expected %s", #cond); } while (0)

/* For integers of any kind, enums and booleans. */
#define EXPECT_EQ(a, b)                                                        \
    do {                                                                       \
        long long tsu_a = (long long)(a), tsu_b = (long long)(b);              \
        if (tsu_a != tsu_b)                                                    \
            TSU_TEST_FAILED("expected %s == %s, got %lld and %lld",            \
                            #a, #b, tsu_a, tsu_b);                             \
    } while (0)

#define EXPECT_STR(a, b)                                                       \
    do {                                                                       \
        const char *tsu_a = (a), *tsu_b = (b);                                 \
        if (strcmp(tsu_a, tsu_b) != 0)                                         \
            TSU_TEST_FAILED("expected %s == %s, got \"%s\" and \"%s\"",        \
                            #a, #b, tsu_a, tsu_b);                             \
    } while (0)

#define EXPECT_MEM(a, b, bytes)                                                \
    do {                                                                       \
        if (memcmp((a), (b), (bytes)) != 0)                                    \
            TSU_TEST_FAILED("expected %s and %s to hold the same bytes", #a, #b); \
    } while (0)

/* Like EXPECT, for what the rest of the function cannot do without. */
#define REQUIRE(cond)                                                          \
    do { if (!(cond)) { TSU_TEST_FAILED("required %s", #cond); return; } } while (0)

#define SKIP(reason)                                                           \
    do {                                                                       \
        printf("skipped %s: %s\n", tsu_test_state.running, (reason));          \
        tsu_test_state.skipped = true;                                         \
        return;                                                                \
    } while (0)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TSU_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define TSU_TEST_SANITIZED 1
#endif
#endif
#ifndef TSU_TEST_SANITIZED
#define TSU_TEST_SANITIZED 0
#endif

/* Names the test that brought the process down, and how to run it again. Only
 * what a signal handler may do: no printf. */
static void TSU_TEST_UNUSED tsu_test_crashed(int sig)
{
    char     line[256];
    char     digits[24];
    size_t   n = 0, d = 0;
    uint64_t seed = tsu_test_state.seed;
    const char *parts[4] = {"crashed in ", tsu_test_state.running, "; run again with TSU_SEED=", NULL};

    for (int i = 0; parts[i] != NULL; i++) {
        for (const char *c = parts[i]; *c != 0 && n < sizeof line - 32; c++) line[n++] = *c;
    }
    do { digits[d++] = (char)('0' + seed % 10); seed /= 10; } while (seed != 0);
    while (d > 0) line[n++] = digits[--d];
    line[n++] = '\n';
    if (write(STDOUT_FILENO, line, n) < 0) _exit(1);
    signal(sig, SIG_DFL);
    raise(sig);
}

static uint64_t TSU_TEST_UNUSED tsu_test_entropy(void)
{
    uint64_t        seed = 0;
    struct timespec now;
    FILE           *f = fopen("/dev/urandom", "rb");

    if (f != NULL) {
        if (fread(&seed, sizeof seed, 1, f) != 1) seed = 0;
        fclose(f);
    }
    if (seed == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u + (uint64_t)getpid();
    }
    return seed;
}

static int TSU_TEST_UNUSED tsu_test_main(void)
{
    const char *seed = getenv("TSU_SEED");
    const char *only = getenv("TSU_TEST");
    long        passed = 0, failed = 0, skipped = 0;

    tsu_test_state.seed = seed != NULL && *seed != 0 ? strtoull(seed, NULL, 0) : tsu_test_entropy();
    tsu_test_state.running = "no test";
    printf("TSU_SEED=%" PRIu64 "\n", tsu_test_state.seed);
    fflush(stdout);
    signal(SIGABRT, tsu_test_crashed);
    if (!TSU_TEST_SANITIZED) {          /* a sanitizer tells more about the others */
        signal(SIGSEGV, tsu_test_crashed);
        signal(SIGBUS, tsu_test_crashed);
        signal(SIGFPE, tsu_test_crashed);
        signal(SIGILL, tsu_test_crashed);
    }
    for (tsu_test *t = tsu_test_state.first; t != NULL; t = t->next) {
        struct timespec before, after;
        double          seconds;
        long            failures;

        if (only != NULL && strstr(t->name, only) == NULL) continue;
        tsu_test_state.running = t->name;
        tsu_test_state.skipped = false;
        __atomic_store_n(&tsu_test_state.failures, 0, __ATOMIC_RELAXED);
        clock_gettime(CLOCK_MONOTONIC, &before);
        t->run();
        clock_gettime(CLOCK_MONOTONIC, &after);
        seconds = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
        failures = __atomic_load_n(&tsu_test_state.failures, __ATOMIC_RELAXED);
        if (failures > 0) {
            failed++;
            printf("failed %s: %ld expectations; run again with TSU_SEED=%" PRIu64 " TSU_TEST=%s\n",
                   t->name, failures, tsu_test_state.seed, t->name);
        } else if (tsu_test_state.skipped) {
            skipped++;
        } else {
            passed++;
        }
        if (seconds >= 1.0) printf("%s took %.1f s\n", t->name, seconds);
        fflush(stdout);
    }
    if (skipped > 0)
        printf("%ld passed, %ld failed, %ld skipped\n", passed, failed, skipped);
    else
        printf("%ld passed, %ld failed\n", passed, failed);
    fflush(stdout);
    return failed == 0 && passed + skipped > 0 ? 0 : 1;
}

/* Stands once at the end of the file, with neither parentheses nor a semicolon. */
#define TEST_MAIN int main(void) { return tsu_test_main(); }

#endif
