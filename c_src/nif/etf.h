/* etf.h: the pieces of the VM's external term format which encoding and decoding have in common.
 *
 * What no function of the VM tells (the numbers in a pid, the text of an atom in UTF-8, the names in a fun) is read
 * from this format, and terms that no function makes are made from it.
 *
 * Limits      bytes that are read come from the VM and are trusted.
 * Checked by  tsunami_term_tests.erl
 */
#ifndef TSU_NIF_ETF_H
#define TSU_NIF_ETF_H

#include "nif/term.h"

/* Tags of the external term format that are read or made here. */
enum {
    TSU_ETF_PID = 88, TSU_ETF_PORT32 = 89, TSU_ETF_REF = 90, TSU_ETF_SMALL_INT = 97, TSU_ETF_INT = 98,
    TSU_ETF_ATOM_LATIN1 = 100, TSU_ETF_SMALL_TUPLE = 104, TSU_ETF_SMALL_BIG = 110, TSU_ETF_BIG = 111,
    TSU_ETF_FUN = 112, TSU_ETF_EXPORT = 113, TSU_ETF_SMALL_ATOM_LATIN1 = 115, TSU_ETF_ATOM = 118,
    TSU_ETF_SMALL_ATOM = 119, TSU_ETF_PORT64 = 120, TSU_ETF_BITS = 77, TSU_ETF_VERSION = 131
};

static inline uint32_t tsu_be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t tsu_be32(const uint8_t *p) { return tsu_be16(p) << 16 | tsu_be16(p + 2); }
static inline uint64_t tsu_be64(const uint8_t *p) { return (uint64_t)tsu_be32(p) << 32 | tsu_be32(p + 4); }

/* Appends the low n bytes of v, the highest first. */
void tsu_etf_put(tsu_writer *w, uint64_t v, unsigned n);

#define TSU_ETF_ATOM_MAX 1024       /* 255 characters of at most 4 bytes */

/* Reads an atom, moving *p behind it: its text as UTF-8, which has room for TSU_ETF_ATOM_MAX. False: no atom. */
bool tsu_etf_atom(const uint8_t **p, uint8_t *text, size_t *len);
void tsu_etf_put_atom(tsu_writer *w, const uint8_t *text, size_t len);

/* The term that the writer holds, or 0. */
ERL_NIF_TERM tsu_etf_term(ErlNifEnv *env, const tsu_writer *w);

typedef struct tsu_etf_node {
    uint8_t  text[TSU_ETF_ATOM_MAX];
    size_t   len;
    uint32_t creation;
} tsu_etf_node;

/* This node, as of now: a fresh reference carries its name. */
bool tsu_etf_local_node(ErlNifEnv *env, tsu_etf_node *out);

#endif
