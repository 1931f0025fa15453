/* bench_engine.c: nanoseconds an operation, on {Int, Int, Atom} objects, without a VM.
 *
 *     bench_engine [keys ...]          default: 1000 100000 2000000
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"
#include "testing/harness.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static size_t object_write(uint8_t *buffer, int64_t key, int64_t value)
{
    tsu_writer      w;
    tsu_object_mark mark;

    tsu_writer_init(&w, buffer, 64);
    tsu_write_object_begin(&w, 3, &mark);
    tsu_write_int(&w, key);
    tsu_write_int(&w, value);
    tsu_write_atom(&w, 1234);
    tsu_write_object_end(&w, 3, &mark);
    return w.len;
}

static size_t key_write(uint8_t *buffer, int64_t key)
{
    tsu_writer w;

    tsu_writer_init(&w, buffer, 64);
    tsu_write_int(&w, key);
    return w.len;
}

static uint64_t sum;

static bool touch(void *ctx, const uint8_t *object)
{
    (void)ctx;
    sum += object[0];
    return true;
}

enum what { INSERT, LOOKUP, MISS, OVERWRITE, DELETE };

static double run(tsu_thread *self, tsu_table *t, enum what what, long keys, long count, uint64_t step)
{
    uint8_t  buffer[64];
    double   begin = now();
    uint64_t k = 0;
    long     i;

    for (i = 0; i < count; i++) {
        k = (k + step) % (uint64_t)keys;           /* step and keys have no common divisor: every key once */
        tsu_pin(self);
        switch (what) {
        case INSERT:
        case OVERWRITE: (void)tsu_insert(self, t, buffer, object_write(buffer, (int64_t)k, what)); break;
        case LOOKUP: tsu_lookup(self, t, buffer, key_write(buffer, (int64_t)k), touch, NULL); break;
        case MISS: tsu_lookup(self, t, buffer, key_write(buffer, (int64_t)k + keys), touch, NULL); break;
        case DELETE: (void)tsu_delete(self, t, buffer, key_write(buffer, (int64_t)k)); break;
        }
        tsu_unpin(self);
    }
    return (now() - begin) / (double)count;
}

int main(int argc, char **argv)
{
    static const long few[] = {1000, 100000, 2000000};
    static const char *names[] = {"set", "ordered_set", "bag"};
    tsu_thread *self;
    int         i, type, sizes = argc > 1 ? argc - 1 : 3;

    if (tsu_engine_open() != TSU_OK) return 1;
    self = tsu_thread_self();
    printf("%-12s %9s %7s %7s %7s %9s %7s %7s %7s\n", "ns", "keys", "insert", "lookup", "miss", "overwrite", "walk", "delete", "bytes");
    for (i = 0; i < sizes; i++)
        for (type = TSU_SET; type <= TSU_BAG; type++) {
            long       keys = argc > 1 ? atol(argv[i + 1]) : few[i], rounds = keys < 1000000 ? 1000000 / keys : 1, r;
            uint64_t   step = 1299709;
            double     insert = 0, lookup, miss, overwrite, walk, gone = 0, begin, bytes = 0;
            bool       done;
            tsu_table *t;

            for (r = 0; r < rounds; r++) {
                tsu_pin(self);
                if (tsu_table_create(self, (tsu_table_type)type, 1, &t) != TSU_OK) return 1;
                tsu_unpin(self);
                insert += run(self, t, INSERT, keys, keys, step);
                bytes = (double)tsu_table_bytes(t) / (double)keys;
                if (r + 1 == rounds) break;
                gone += run(self, t, DELETE, keys, keys, step);
                tsu_table_destroy(self, t);
            }
            lookup = run(self, t, LOOKUP, keys, 1000000, step);
            miss = run(self, t, MISS, keys, 1000000, step);
            overwrite = run(self, t, OVERWRITE, keys, 1000000, step);
            begin = now();
            tsu_pin(self);
            for (r = 0; r < rounds; r++) tsu_walk(self, t, NULL, 0, TSU_FORWARD, SIZE_MAX, touch, NULL, &done);
            tsu_unpin(self);
            walk = (now() - begin) / (double)(keys * rounds);
            gone += run(self, t, DELETE, keys, keys, step);
            printf("%-12s %9ld %7.0f %7.0f %7.0f %9.0f %7.1f %7.0f %7.1f\n", names[type], keys, insert / (double)rounds,
                   lookup, miss, overwrite, walk, gone / (double)rounds, bytes);
            fflush(stdout);
            tsu_table_destroy(self, t);
        }
    tsu_engine_close();
    return sum == 0;
}
