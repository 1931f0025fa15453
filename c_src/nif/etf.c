/* etf.c: reads and writes the few kinds of the external term format that are needed here. */
#include "nif/etf.h"

void tsu_etf_put(tsu_writer *w, uint64_t v, unsigned n)
{
    for (unsigned i = n; i-- > 0;) tsu_write_byte(w, (uint8_t)(v >> (8 * i)));
}

bool tsu_etf_atom(const uint8_t **p, uint8_t *text, size_t *len)
{
    const uint8_t *q = *p + 1;
    size_t         n, out = 0;
    bool           latin1 = **p == TSU_ETF_ATOM_LATIN1 || **p == TSU_ETF_SMALL_ATOM_LATIN1;

    if (**p == TSU_ETF_ATOM || **p == TSU_ETF_ATOM_LATIN1) { n = tsu_be16(q); q += 2; }
    else if (**p == TSU_ETF_SMALL_ATOM || **p == TSU_ETF_SMALL_ATOM_LATIN1) n = *q++;
    else return false;
    if (n > TSU_ETF_ATOM_MAX || (latin1 && n > 255)) return false;
    for (size_t i = 0; i < n; i++) {
        if (latin1 && q[i] >= 0x80) {
            text[out++] = (uint8_t)(0xc0 | q[i] >> 6);
            text[out++] = (uint8_t)(0x80 | (q[i] & 0x3f));
        } else {
            text[out++] = q[i];
        }
    }
    *p = q + n;
    *len = out;
    return true;
}

void tsu_etf_put_atom(tsu_writer *w, const uint8_t *text, size_t len)
{
    if (len < 256) {
        tsu_write_byte(w, TSU_ETF_SMALL_ATOM);
        tsu_write_byte(w, (uint8_t)len);
    } else {
        tsu_write_byte(w, TSU_ETF_ATOM);
        tsu_etf_put(w, len, 2);
    }
    tsu_write_bytes(w, text, len);
}

ERL_NIF_TERM tsu_etf_term(ErlNifEnv *env, const tsu_writer *w)
{
    ERL_NIF_TERM term;

    if (w->status != TSU_OK) return 0;
    return enif_binary_to_term(env, w->bytes, w->len, &term, 0) == 0 ? 0 : term;
}

bool tsu_etf_local_node(ErlNifEnv *env, tsu_etf_node *out)
{
    ErlNifBinary   bin;
    const uint8_t *p;
    bool           ok = false;

    if (!enif_term_to_binary(env, enif_make_ref(env), &bin)) return false;
    p = bin.data + 4;
    if (bin.data[1] == TSU_ETF_REF && tsu_etf_atom(&p, out->text, &out->len)) {
        out->creation = tsu_be32(p);
        ok = true;
    }
    enif_release_binary(&bin);
    return ok;
}
