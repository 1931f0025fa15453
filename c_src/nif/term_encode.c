/* term_encode.c: walks a term of the VM with an explicit stack, never by recursion, and writes it. */
#include "engine.h"
#include "nif/etf.h"
#include "nif/share.h"
#include "nif/term_inner.h"

typedef enum open_kind { OPEN_TUPLE, OPEN_LIST, OPEN_IMPROPER, OPEN_MAP, OPEN_FLATMAP } open_kind;       /* maps last */

/* A term whose parts are being written. */
typedef struct open_term {
    open_kind           kind;
    bool                key;            /* MAP, FLATMAP: what the writer's flag was before */
    uint64_t            left;           /* parts still to be written */
    const ERL_NIF_TERM *elements;       /* TUPLE, MAP: the next (MAP: keys and values in turn); FLATMAP: the values */
    ERL_NIF_TERM        tail;           /* LIST: what is left of it */
    uint64_t            n;              /* MAP, FLATMAP: pairs */
    tsu_map_mark       *marks;          /* MAP: n + 1, and behind them the elements; owned */
    const ERL_NIF_TERM *keys;           /* FLATMAP */
    uint8_t             order[TSU_FLATMAP_MAX];     /* FLATMAP: which pair is which in the encoding */
} open_term;

typedef struct open_stack {
    open_term *at;
    size_t     count, cap;
    open_term  few[16];
} open_stack;

static size_t map_bytes(uint64_t n)
{
    return (size_t)(n + 1) * sizeof(tsu_map_mark) + 2 * (size_t)n * sizeof(ERL_NIF_TERM);
}

static open_term *open_push(open_stack *s, open_kind kind)
{
    open_term *o;

    if (s->count == s->cap) {
        open_term *more = tsu_env_alloc(2 * s->cap * sizeof *more);
        if (more == NULL) return NULL;
        memcpy(more, s->at, s->count * sizeof *more);
        if (s->at != s->few) tsu_env_free(s->at, s->cap * sizeof *more);
        s->at = more;
        s->cap *= 2;
    }
    o = &s->at[s->count++];
    o->kind = kind;
    o->marks = NULL;
    return o;
}

static void encode_bits(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    ErlNifBinary bin;

    if (enif_inspect_binary(env, term, &bin)) {
        void *blob = NULL;

        if (bin.size >= TSU_BLOB_BYTES_MIN && !w->key) {
            blob = enif_alloc_resource(tsu_vm.blob_type, bin.size);
            if (blob == NULL) { w->status = TSU_NOMEM; return; }
            memcpy(blob, bin.data, bin.size);
        } else if (w->share && bin.size >= TSU_SHARE_BYTES_MIN && !w->key) {
            blob = tsu_share_take(tsu_vm.blob_type, bin.data, bin.size);
        }
        if (blob != NULL) tsu_write_blob(w, bin.size, (uint64_t)(uintptr_t)blob);
        else tsu_write_binary(w, bin.data, bin.size);
        return;
    }
    if (enif_is_binary(env, term) || !enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    if (bin.data[1] == TSU_ETF_BITS)
        tsu_write_bitstring(w, bin.data + 7, (uint64_t)(tsu_be32(bin.data + 2) - 1) * 8 + bin.data[6]);
    else
        w->status = TSU_BADARG;
    enif_release_binary(&bin);
}

static void encode_big(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    ErlNifSInt64 i;
    ErlNifUInt64 u;
    ErlNifBinary bin;

    if (enif_get_int64(env, term, &i)) { tsu_write_int(w, i); return; }
    if (enif_get_uint64(env, term, &u)) {
        uint8_t bytes[8];
        tsu_put64(bytes, u);
        tsu_write_big(w, false, bytes, 8);
        return;
    }
    if (!enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    if (bin.data[1] == TSU_ETF_SMALL_BIG) tsu_write_big(w, bin.data[3] != 0, bin.data + 4, bin.data[2]);
    else if (bin.data[1] == TSU_ETF_BIG) tsu_write_big(w, bin.data[6] != 0, bin.data + 7, tsu_be32(bin.data + 2));
    else w->status = TSU_BADARG;
    enif_release_binary(&bin);
}

static void put_node(tsu_writer *w, const tsu_etf_node *node)
{
    uint8_t creation[4];

    tsu_write_byte(w, (uint8_t)node->len);
    tsu_write_byte(w, (uint8_t)(node->len >> 8));
    tsu_write_bytes(w, node->text, node->len);
    tsu_put32(creation, node->creation);
    tsu_write_bytes(w, creation, 4);
}

/* A pid or port of another node. */
static void encode_remote(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    ErlNifBinary   bin;
    tsu_etf_node      node;
    const uint8_t *p;
    uint8_t        number[8];
    uint8_t        tag;

    if (!enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    tag = bin.data[1];
    p = bin.data + 2;
    if ((tag != TSU_ETF_PID && tag != TSU_ETF_PORT32 && tag != TSU_ETF_PORT64) || !tsu_etf_atom(&p, node.text, &node.len)) {
        w->status = TSU_BADARG;
    } else if (tag == TSU_ETF_PID) {
        node.creation = tsu_be32(p + 8);
        tsu_write_byte(w, TSU_TAG_PID_EXT);
        put_node(w, &node);
        tsu_put32(number, tsu_be32(p));
        tsu_put32(number + 4, tsu_be32(p + 4));
        tsu_write_bytes(w, number, 8);
    } else {
        unsigned size = tag == TSU_ETF_PORT32 ? 4 : 8;
        node.creation = tsu_be32(p + size);
        tsu_write_byte(w, TSU_TAG_PORT_EXT);
        put_node(w, &node);
        tsu_put64(number, size == 4 ? tsu_be32(p) : tsu_be64(p));
        tsu_write_bytes(w, number, 8);
    }
    enif_release_binary(&bin);
}

static void encode_ref_slow(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, bool hold)
{
    ErlNifBinary   bin;
    tsu_etf_node      node, here;
    const uint8_t *p;
    uint8_t        words[5 * 4];
    unsigned       n;
    bool           local, magic;

    if (!enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    p = bin.data + 4;
    n = bin.data[1] == TSU_ETF_REF ? tsu_be16(bin.data + 2) : 0;
    if (n < 1 || n > 5 || !tsu_etf_atom(&p, node.text, &node.len)) {
        w->status = TSU_BADARG;
        enif_release_binary(&bin);
        return;
    }
    node.creation = tsu_be32(p);
    memset(words, 0, sizeof words);
    for (unsigned i = 0; i < n; i++) tsu_put32(words + 4 * i, tsu_be32(p + 4 + 4 * i));
    enif_release_binary(&bin);
    if (tsu_vm.refs_proven) {
        local = (tsu_header_of(term) & TSU_HEADER_KIND) == (tsu_vm.ref_header & TSU_HEADER_KIND);
        magic = tsu_header_of(term) == tsu_vm.magic_header && !tsu_ref_is_ordinary(term);
        /* of a kind that is not known here: held */
        if (tsu_header_of(term) != tsu_vm.ref_header && (tsu_get32(words + 4) & TSU_REF_MARKS) == 0) magic = true;
    } else {
        local = magic = tsu_etf_local_node(env, &here) && here.len == node.len && here.creation == node.creation &&
                        memcmp(here.text, node.text, node.len) == 0;
        magic = magic && n <= 3;
    }
    while (n > 1 && tsu_get32(words + 4 * n - 4) == 0) n--;
    if (!local) {
        tsu_write_byte(w, TSU_TAG_REF_EXT);
        put_node(w, &node);
        tsu_write_byte(w, (uint8_t)n);
        tsu_write_bytes(w, words, 4 * n);
    } else if (n > 3) {
        tsu_write_byte(w, TSU_TAG_REF_LONG);
        tsu_write_byte(w, (uint8_t)n);
        tsu_write_bytes(w, words, 4 * n);
    } else {
        tsu_write_byte(w, magic ? TSU_TAG_REF_MAGIC : TSU_TAG_REF);
        tsu_write_bytes(w, words, 12);
        if (magic && hold) {
            uint64_t handle = tsu_holder_create(term);
            if (handle == 0) w->status = TSU_NOMEM;
            else tsu_write_handle(w, handle);
        }
    }
}

static inline void encode_ref(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, bool hold)
{
    if (tsu_vm.refs_proven && tsu_ref_is_ordinary(term)) {
        tsu_write_byte(w, TSU_TAG_REF);
        tsu_write_bytes(w, tsu_ref_words(term), 12);
    } else {
        encode_ref_slow(env, term, w, hold);
    }
}

/* Writes the atom that the external term format has at *p. */
static void encode_etf_atom(ErlNifEnv *env, const uint8_t **p, tsu_writer *w)
{
    uint8_t      text[TSU_ETF_ATOM_MAX], buffer[TSU_ETF_ATOM_MAX + 8];
    size_t       len;
    tsu_writer   etf;
    ERL_NIF_TERM atom = 0;

    tsu_writer_init(&etf, buffer, sizeof buffer);
    if (tsu_etf_atom(p, text, &len)) {
        tsu_write_byte(&etf, TSU_ETF_VERSION);
        tsu_etf_put_atom(&etf, text, len);
        atom = tsu_etf_term(env, &etf);
    }
    if (atom == 0 || !tsu_nif_is_atom(atom)) w->status = TSU_BADARG;
    else tsu_write_atom(w, atom >> 6);
}

static uint32_t etf_int(const uint8_t **p, bool *ok)
{
    const uint8_t *q = *p;
    uint32_t       v = 0;

    *ok = true;
    if (*q == TSU_ETF_SMALL_INT) {
        *p = q + 2;
        return q[1];
    }
    if (*q == TSU_ETF_INT) {
        *p = q + 5;
        return tsu_be32(q + 1);
    }
    *ok = *q == TSU_ETF_SMALL_BIG;
    if (!*ok) return 0;
    for (unsigned i = 0; i < q[1] && i < 4; i++) v |= (uint32_t)q[3 + i] << (8 * i);
    *p = q + 3 + q[1];
    return q[2] != 0 ? 0 - v : v;
}

/* Writes what identifies a fun. Its environment comes back as a tuple, in *environment, or 0 if empty. */
static void encode_fun(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, ERL_NIF_TERM *environment)
{
    ErlNifBinary   bin;
    tsu_writer     etf;
    uint8_t        buffer[256], fixed[30], unused[TSU_ETF_ATOM_MAX];
    const uint8_t *p, *module;
    size_t         len;
    uint32_t       n, old_index, old_unique;
    bool           ok = false, ok2 = false;

    *environment = 0;
    if (!enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    p = bin.data + 2;
    if (bin.data[1] == TSU_ETF_EXPORT) {
        size_t at = w->len;
        tsu_write_byte(w, TSU_TAG_EXPORT);
        tsu_write_byte(w, 0);
        encode_etf_atom(env, &p, w);
        if (w->status == TSU_OK) encode_etf_atom(env, &p, w);
        if (w->status == TSU_OK) w->bytes[at + 1] = p[1];           /* behind ETF_SMALL_INT */
    } else if (bin.data[1] == TSU_ETF_FUN) {
        fixed[0] = p[4];
        memcpy(fixed + 1, p + 5, 16);
        tsu_put32(fixed + 17, tsu_be32(p + 21));
        n = tsu_be32(p + 25);
        fixed[29] = (uint8_t)n;
        module = p += 29;
        if (n <= 255 && tsu_etf_atom(&p, unused, &len)) {
            old_index = etf_int(&p, &ok);
            old_unique = ok ? etf_int(&p, &ok2) : 0;
            tsu_put32(fixed + 21, old_index);
            tsu_put32(fixed + 25, old_unique);
            ok = ok && ok2 && *p++ == TSU_ETF_PID && tsu_etf_atom(&p, unused, &len);
            p += 12;
        }
        if (!ok) {
            w->status = TSU_BADARG;
        } else {
            tsu_write_byte(w, TSU_TAG_FUN);
            tsu_write_bytes(w, fixed, 30);
            encode_etf_atom(env, &module, w);
            if (n > 0) {
                tsu_writer_init(&etf, buffer, sizeof buffer);
                tsu_write_byte(&etf, TSU_ETF_VERSION);
                tsu_write_byte(&etf, TSU_ETF_SMALL_TUPLE);
                tsu_write_byte(&etf, (uint8_t)n);
                tsu_write_bytes(&etf, p, (size_t)(bin.data + bin.size - p));
                *environment = tsu_etf_term(env, &etf);
                if (*environment == 0) w->status = TSU_NOMEM;
                tsu_writer_deinit(&etf);
            }
        }
    } else {
        w->status = TSU_BADARG;
    }
    enif_release_binary(&bin);
}

static void encode_list_begin(ErlNifEnv *env, ERL_NIF_TERM list, tsu_writer *w, open_stack *s)
{
    ERL_NIF_TERM head, tail = list;
    uint64_t     n = 0;
    bool         bytes = true;
    open_term   *o;

    while (tsu_list_get(env, tail, &head, &tail)) {
        n++;
        bytes = bytes && (head & ~(ERL_NIF_TERM)0xff0) == 0xf;
    }
    if (bytes && tail == tsu_vm.nil) {
        uint8_t *to = tsu_write_string_begin(w, n);
        while (to != NULL && tsu_list_get(env, list, &head, &list)) *to++ = (uint8_t)(head >> 4);
        return;
    }
    tsu_write_list_begin(w, n, tail != tsu_vm.nil);
    o = open_push(s, tail == tsu_vm.nil ? OPEN_LIST : OPEN_IMPROPER);
    if (o == NULL) { w->status = TSU_NOMEM; return; }
    o->left = n + (tail != tsu_vm.nil);
    o->tail = list;
}

/* The first 7 bytes of a key's encoding, as a number of the same order, shifted left by 8. False: it has to be written
 * to be known. */
static inline bool key_mark(ERL_NIF_TERM term, uint64_t *mark)
{
    const uint8_t *bytes;
    size_t         size;
    uint64_t       word;

    if (TSU_LIKELY(tsu_nif_is_atom(term))) {
        tsu_atom_word(term >> 6, &word);
    } else if (tsu_nif_is_small(term)) {
        tsu_int_word((int64_t)term >> 4, &word);
    } else if ((term & 3) == 2 && tsu_heap_binary_get(term, &bytes, &size) && size < 32) {
        word = TSU_TAG_BINARY0 + size;
        for (size_t i = 0; i < size && i < 6; i++) word |= (uint64_t)bytes[i] << 8 * (i + 1);
    } else {
        return false;
    }
    *mark = __builtin_bswap64(word) & ~(uint64_t)0xff;
    return true;
}

/* Finds in which order the pairs are written. False: only the whole keys could tell. */
static bool keys_order(const ERL_NIF_TERM *keys, size_t n, uint8_t *order)
{
    uint64_t sorted[TSU_FLATMAP_MAX];       /* marks, and below them places */

    for (size_t i = 0; i < n; i++) {
        uint64_t mark;
        size_t   j = i;

        if (!key_mark(keys[i], &mark)) return false;
        for (; j > 0 && sorted[j - 1] > mark; j--) {
            if ((sorted[j - 1] ^ mark) < 0x100) return false;
            sorted[j] = sorted[j - 1];
        }
        if (j > 0 && (sorted[j - 1] ^ mark) < 0x100) return false;
        sorted[j] = mark | i;
    }
    for (size_t i = 0; i < n; i++) order[i] = (uint8_t)sorted[i];
    return true;
}

static void encode_map_begin(ErlNifEnv *env, ERL_NIF_TERM map, tsu_writer *w, open_stack *s)
{
    const ERL_NIF_TERM *keys, *values;
    ErlNifMapIterator   iter;
    size_t              n;
    open_term          *o;
    ERL_NIF_TERM       *pair;
    bool                flat = tsu_flatmap_get(map, &n, &keys, &values);

    if (!flat && !enif_get_map_size(env, map, &n)) { w->status = TSU_BADARG; return; }
    tsu_write_map_begin(w, n);
    if (n == 0) return;
    o = open_push(s, OPEN_MAP);
    if (o == NULL) { w->status = TSU_NOMEM; return; }
    o->n = n;
    o->left = 2 * n;
    o->key = w->key;
    if (flat && keys_order(keys, n, o->order)) {
        o->kind = OPEN_FLATMAP;
        o->elements = values;
        o->keys = keys;
        return;
    }
    o->marks = tsu_env_alloc(map_bytes(n));
    if (o->marks == NULL || (!flat && !enif_map_iterator_create(env, map, &iter, ERL_NIF_MAP_ITERATOR_FIRST))) {
        w->status = TSU_NOMEM;
        return;
    }
    pair = (ERL_NIF_TERM *)(o->marks + n + 1);
    o->elements = pair;
    for (size_t i = 0; i < n; i++) {
        if (flat) {
            pair[2 * i] = keys[i];
            pair[2 * i + 1] = values[i];
        } else {
            enif_map_iterator_get_pair(env, &iter, &pair[2 * i], &pair[2 * i + 1]);
            enif_map_iterator_next(env, &iter);
        }
    }
    if (!flat) enif_map_iterator_destroy(env, &iter);
}

static inline void encode_immediate(ERL_NIF_TERM term, tsu_writer *w)
{
    if (tsu_nif_is_small(term)) {
        tsu_write_int(w, (int64_t)term >> 4);
    } else if (tsu_nif_is_atom(term)) {
        tsu_write_atom(w, term >> 6);
    } else if (term == tsu_vm.nil) {
        tsu_write_nil(w);
    } else {
        uint8_t bytes[9];
        if ((term & 0xf) == 0x3) {
            bytes[0] = TSU_TAG_PID;
        } else if ((term & 0xf) == 0x7) {
            bytes[0] = TSU_TAG_PORT;
        } else {
            w->status = TSU_BADARG;
            return;
        }
        tsu_put64(bytes + 1, term);
        tsu_write_bytes(w, bytes, 9);
    }
}

static void encode_tuple_begin(ErlNifEnv *env, ERL_NIF_TERM tuple, tsu_writer *w, open_stack *s)
{
    size_t              arity;
    const ERL_NIF_TERM *elements = tsu_tuple_get(env, tuple, &arity);
    open_term          *o;

    tsu_write_tuple_begin(w, arity);
    if (arity == 0) return;
    o = open_push(s, OPEN_TUPLE);
    if (o == NULL) { w->status = TSU_NOMEM; return; }
    o->left = arity;
    o->elements = elements;
}

/* Writes the beginning of a term that takes more than a word; its parts, if any, are pushed. */
static void encode_begin(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, open_stack *s, bool hold)
{
    const uint8_t *bytes;
    size_t         size;
    open_term     *o;
    ERL_NIF_TERM   environment;

    if ((term & 3) == 1) {
        encode_list_begin(env, term, w, s);
        return;
    }
    if (tsu_is_tuple(term)) {
        encode_tuple_begin(env, term, w, s);
        return;
    }
    if (tsu_heap_binary_get(term, &bytes, &size)) {
        tsu_write_binary(w, bytes, size);
        return;
    }
    if (tsu_vm.layouts_proven && tsu_header_of(term) == tsu_vm.float_header) {
        tsu_write_float(w, tsu_float_get(env, term));
        return;
    }
    switch (enif_term_type(env, term)) {
    case ERL_NIF_TERM_TYPE_BITSTRING:
        encode_bits(env, term, w);
        break;
    case ERL_NIF_TERM_TYPE_INTEGER:
        encode_big(env, term, w);
        break;
    case ERL_NIF_TERM_TYPE_FLOAT:
        tsu_write_float(w, tsu_float_get(env, term));
        break;
    case ERL_NIF_TERM_TYPE_REFERENCE:
        encode_ref(env, term, w, hold);
        break;
    case ERL_NIF_TERM_TYPE_MAP:
        encode_map_begin(env, term, w, s);
        break;
    case ERL_NIF_TERM_TYPE_PID: case ERL_NIF_TERM_TYPE_PORT:
        encode_remote(env, term, w);
        break;
    case ERL_NIF_TERM_TYPE_FUN:
        encode_fun(env, term, w, &environment);
        if (w->status != TSU_OK || environment == 0) break;
        o = open_push(s, OPEN_TUPLE);
        if (o == NULL) { w->status = TSU_NOMEM; break; }
        o->elements = tsu_tuple_get(env, environment, &size);
        o->left = size;
        break;
    default:
        w->status = TSU_BADARG;
        break;
    }
}

/* Writes the next parts of an open term that are words, up to one that is not: that comes back in *term. False: there
 * is none. */
static bool open_fill(ErlNifEnv *env, open_term *o, tsu_writer *w, ERL_NIF_TERM *term)
{
    uint8_t            *p = w->bytes + w->len;
    const uint8_t      *end = w->bytes + w->cap;
    const ERL_NIF_TERM *elements = o->elements;
    ERL_NIF_TERM        next = 0, tail = o->tail;
    uint64_t            left = o->left;
    open_kind           kind = o->kind;
    bool                found = false;

    while (left > 0) {
        unsigned n;

        switch (kind) {
        case OPEN_TUPLE:
            next = *elements++;
            break;
        case OPEN_LIST: case OPEN_IMPROPER:
            if (kind == OPEN_LIST || left > 1) tsu_list_get(env, tail, &next, &tail);
            else next = tail;
            break;
        case OPEN_MAP:
            if (left % 2 == 0) o->marks[o->n - left / 2] = (tsu_map_mark){(size_t)(p - w->bytes), w->handle_count};
            next = *elements++;
            break;
        case OPEN_FLATMAP:
            next = (left % 2 == 0 ? o->keys : elements)[o->order[o->n - (left + 1) / 2]];
            break;
        }
        left--;
        n = end - p >= 9 ? tsu_nif_word_put(p, next) : 0;
        if (n == 0) {
            found = true;
            break;
        }
        p += n;
    }
    if (kind >= OPEN_MAP) w->key = left % 2 != 0 || o->key;
    w->len = (size_t)(p - w->bytes);
    o->elements = elements;
    o->tail = tail;
    o->left = left;
    *term = next;
    return found;
}

static void open_close(open_term *o, tsu_writer *w)
{
    if (o->kind >= OPEN_MAP) w->key = o->key;
    if (o->kind != OPEN_MAP) return;
    o->marks[o->n] = (tsu_map_mark){w->len, w->handle_count};
    tsu_write_map_end(w, o->marks, (size_t)o->n);
    tsu_env_free(o->marks, map_bytes(o->n));
}

static void encode(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, bool hold)
{
    open_stack s;
    bool       key = w->key;

    s.at = s.few;
    s.count = 0;
    s.cap = sizeof s.few / sizeof s.few[0];
    for (;;) {
        if ((term & 3) == 3) encode_immediate(term, w);
        else encode_begin(env, term, w, &s, hold);
        while (w->status == TSU_OK && s.count > 0 && !open_fill(env, &s.at[s.count - 1], w, &term))
            open_close(&s.at[--s.count], w);
        if (w->status != TSU_OK || s.count == 0) break;
    }
    while (s.count > 0) {
        open_term *o = &s.at[--s.count];
        if (o->marks != NULL) tsu_env_free(o->marks, map_bytes(o->n));
    }
    if (s.at != s.few) tsu_env_free(s.at, s.cap * sizeof *s.at);
    w->key = key;
}

tsu_status tsu_nif_encode_term(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    if (TSU_LIKELY((term & 3) == 3)) encode_immediate(term, w);
    else encode(env, term, w, true);
    return w->status;
}

tsu_status tsu_nif_encode_key(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    if (TSU_LIKELY((term & 3) == 3)) {
        encode_immediate(term, w);
    } else {
        w->key = true;
        encode(env, term, w, false);            /* who looks for a key holds it already */
        w->key = false;
    }
    return w->status;
}

/* Writes elements that are small integers or atoms, up to one that is not, or for which there is no room: how many. */
static inline size_t words_put(uint8_t **p, const uint8_t *end, const ERL_NIF_TERM *elements, size_t n)
{
    uint8_t *q = *p;
    size_t   i;

    for (i = 0; i < n && end - q >= 9; i++) {
        unsigned len = tsu_nif_word_put(q, elements[i]);

        if (len == 0) break;
        q += len;
    }
    *p = q;
    return i;
}

/* table: NULL, or whose key it is. */
static tsu_status encode_object(ErlNifEnv *env, ERL_NIF_TERM tuple, size_t keypos, tsu_table *table, tsu_writer *w)
{
    const ERL_NIF_TERM *elements;
    size_t              arity, i;
    tsu_object_mark     mark;
    tsu_key             key;
    uint8_t            *begin, *p;

    if (w->status != TSU_OK) return w->status;
    if ((tuple & 3) != 2 || !tsu_is_tuple(tuple)) return TSU_BADARG;
    elements = tsu_tuple_get(env, tuple, &arity);
    if (arity < keypos) return TSU_BADARG;
    if (!tsu_writer_room(w, TSU_OBJECT_HEAD_MAX)) return w->status;
    begin = w->bytes + w->len;
    p = begin + 2;
    i = words_put(&p, w->bytes + w->cap, elements, arity);
    if (TSU_LIKELY(i == arity && arity < 15 && p - begin < 0x80)) {
        begin[0] = (uint8_t)arity;
        begin[1] = (uint8_t)(p - begin);
        w->len += (size_t)(p - begin);
        return TSU_OK;
    }
    if (table != NULL && keypos == 1 && i > 0) tsu_lookup_begin(table, begin + 2, tsu_term_len(begin + 2), &key);
    tsu_write_object_begin(w, arity, &mark);
    if (arity < 15) w->len = (size_t)(p - w->bytes);        /* what has been written stays */
    else i = 0;
    w->share = true;
    for (; i < arity && w->status == TSU_OK; i++) {
        w->key = i + 1 == keypos;
        encode(env, elements[i], w, true);
        w->key = false;
        p = w->bytes + w->len;
        i += words_put(&p, w->bytes + w->cap, elements + i + 1, arity - i - 1);
        w->len = (size_t)(p - w->bytes);
    }
    w->share = false;
    tsu_write_object_end(w, arity, &mark);
    return w->status;
}

tsu_status tsu_nif_encode_object(ErlNifEnv *env, ERL_NIF_TERM tuple, int keypos, tsu_writer *w)
{
    return encode_object(env, tuple, (size_t)keypos, NULL, w);
}

tsu_status tsu_nif_encode_object_for(ErlNifEnv *env, ERL_NIF_TERM tuple, tsu_table *table, tsu_writer *w)
{
    return encode_object(env, tuple, tsu_table_keypos(table), table, w);
}
