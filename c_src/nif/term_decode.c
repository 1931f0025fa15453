/* term_decode.c: walks an encoded term with explicit stacks, never by recursion, and makes it for the VM. */
#include "nif/etf.h"
#include "nif/term_inner.h"

/* A term whose parts are being read. They have their places in `values`, from `base` on: of a map first all keys. */
typedef struct part {
    tsu_token token;
    uint64_t  done;
    size_t    base;
} part;

typedef struct decoder {
    ErlNifEnv     *env;
    const uint8_t *handles;         /* of the object's trailer: the next, or NULL without an object */
    ERL_NIF_TERM  *values;
    size_t         value_count, value_cap;
    part          *parts;
    size_t         part_count, part_cap;
    ERL_NIF_TERM   few_values[64];
    part           few_parts[12];
} decoder;

/* Room for one more part. What is read goes there at once: a token copied when it is fresh waits for its own stores. */
static part *part_room(decoder *d)
{
    if (TSU_UNLIKELY(d->part_count == d->part_cap)) {
        part *more = tsu_env_alloc(2 * d->part_cap * sizeof *more);
        if (more == NULL) return NULL;
        memcpy(more, d->parts, d->part_count * sizeof *more);
        if (d->parts != d->few_parts) tsu_env_free(d->parts, d->part_cap * sizeof *more);
        d->parts = more;
        d->part_cap *= 2;
    }
    return &d->parts[d->part_count];
}

/* Opens what was read to part_room. False: memory is short. */
static bool part_open(decoder *d)
{
    part  *o = &d->parts[d->part_count];
    size_t count = d->value_count + (size_t)o->token.children;

    if (TSU_UNLIKELY(count > d->value_cap)) {
        size_t        cap = count > 2 * d->value_cap ? count : 2 * d->value_cap;
        ERL_NIF_TERM *more = tsu_env_alloc(cap * sizeof *more);
        if (more == NULL) return false;
        memcpy(more, d->values, d->value_count * sizeof *more);
        if (d->values != d->few_values) tsu_env_free(d->values, d->value_cap * sizeof *d->values);
        d->values = more;
        d->value_cap = cap;
    }
    o->done = 0;
    o->base = d->value_count;
    d->value_count = count;
    d->part_count++;
    return true;
}

static ERL_NIF_TERM make_big(ErlNifEnv *env, const tsu_token *t)
{
    uint8_t      buffer[272];
    tsu_writer   etf;
    ERL_NIF_TERM term;

    if (t->size <= 8 && !t->flag) return enif_make_uint64(env, tsu_get64(t->bytes));
    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, TSU_ETF_VERSION);
    tsu_write_byte(&etf, t->size < 256 ? TSU_ETF_SMALL_BIG : TSU_ETF_BIG);
    tsu_etf_put(&etf, t->size, t->size < 256 ? 1 : 4);
    tsu_write_byte(&etf, t->flag);
    tsu_write_bytes(&etf, t->bytes, t->size);
    term = tsu_etf_term(env, &etf);
    tsu_writer_deinit(&etf);
    return term;
}

static ERL_NIF_TERM make_binary(ErlNifEnv *env, const uint8_t *bytes, size_t size)
{
    ERL_NIF_TERM   term;
    unsigned char *to = enif_make_new_binary(env, size, &term);

    if (to == NULL) return 0;
    tsu_bytes_copy(to, bytes, size);
    return term;
}

static ERL_NIF_TERM make_bits(ErlNifEnv *env, const tsu_token *t)
{
    uint8_t      buffer[256];
    tsu_writer   etf;
    ERL_NIF_TERM term;

    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, TSU_ETF_VERSION);
    tsu_write_byte(&etf, TSU_ETF_BITS);
    tsu_etf_put(&etf, t->size, 4);
    tsu_write_byte(&etf, (uint8_t)(t->n % 8));
    tsu_write_bytes(&etf, t->bytes, t->size);
    term = tsu_etf_term(env, &etf);
    tsu_writer_deinit(&etf);
    return term;
}

/* Of which nodes make references: of 3 words, and aliases of 5. */
static unsigned ref_words_all(unsigned n) { return n <= 3 ? 3 : 5; }

/* Words of a reference, zeros on top again: an alias cut short would lead nowhere. */
static void put_ref_words(tsu_writer *etf, const uint8_t *words, unsigned n)
{
    unsigned all = ref_words_all(n);

    for (unsigned i = 0; i < all; i++) tsu_etf_put(etf, i < n ? tsu_get32(words + 4 * i) : 0, 4);
}

static ERL_NIF_TERM make_local_ref(ErlNifEnv *env, const uint8_t *words, unsigned n)
{
    uint8_t      buffer[TSU_ETF_ATOM_MAX + 64];
    tsu_writer   etf;
    tsu_etf_node    node;
    ERL_NIF_TERM term;

    if (!tsu_etf_local_node(env, &node)) return 0;
    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, TSU_ETF_VERSION);
    tsu_write_byte(&etf, TSU_ETF_REF);
    tsu_etf_put(&etf, ref_words_all(n), 2);
    tsu_etf_put_atom(&etf, node.text, node.len);
    tsu_etf_put(&etf, node.creation, 4);
    put_ref_words(&etf, words, n);
    term = tsu_etf_term(env, &etf);
    tsu_writer_deinit(&etf);
    return term;
}

static ERL_NIF_TERM make_ref(decoder *d, const tsu_token *t)
{
    ERL_NIF_TERM term;

    if (t->flag && d->handles != NULL) {
        term = enif_make_copy(d->env, tsu_holder_of(tsu_get64(d->handles))->term);
        d->handles += 8;
        return term;
    }
    if (t->flag || t->size != 12 || !tsu_vm.refs_proven || (tsu_get32(t->bytes + 4) & TSU_REF_MARKS) != 0)
        return make_local_ref(d->env, t->bytes, (unsigned)(t->size / 4));
    term = enif_make_ref(d->env);
    memcpy(tsu_ref_words(term), t->bytes, 12);      /* nobody else has seen it */
    return term;
}

static ERL_NIF_TERM make_remote(ErlNifEnv *env, const tsu_token *t)
{
    uint8_t        buffer[TSU_ETF_ATOM_MAX + 64];
    tsu_writer     etf;
    size_t         len = (size_t)(t->bytes[0] | t->bytes[1] << 8);
    const uint8_t *node = t->bytes + 2, *p = node + len;
    uint32_t       creation = tsu_get32(p);
    ERL_NIF_TERM   term;

    p += 4;
    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, TSU_ETF_VERSION);
    if (t->kind == TSU_PID_EXT) {
        tsu_write_byte(&etf, TSU_ETF_PID);
        tsu_etf_put_atom(&etf, node, len);
        tsu_etf_put(&etf, tsu_get32(p), 4);
        tsu_etf_put(&etf, tsu_get32(p + 4), 4);
        tsu_etf_put(&etf, creation, 4);
    } else if (t->kind == TSU_PORT_EXT) {
        tsu_write_byte(&etf, TSU_ETF_PORT64);
        tsu_etf_put_atom(&etf, node, len);
        tsu_etf_put(&etf, tsu_get64(p), 8);
        tsu_etf_put(&etf, creation, 4);
    } else {
        tsu_write_byte(&etf, TSU_ETF_REF);
        tsu_etf_put(&etf, ref_words_all(*p), 2);
        tsu_etf_put_atom(&etf, node, len);
        tsu_etf_put(&etf, creation, 4);
        put_ref_words(&etf, p + 1, *p);
    }
    term = tsu_etf_term(env, &etf);
    tsu_writer_deinit(&etf);
    return term;
}

static void put_atom_of(tsu_writer *etf, ERL_NIF_TERM atom)
{
    size_t         len;
    const uint8_t *text = tsu_nif_atom_text(atom >> 6, &len);

    tsu_etf_put_atom(etf, text, len);
}

/* A fun or an external fun from its names and environment, which are the values given. */
static ERL_NIF_TERM make_fun(ErlNifEnv *env, const tsu_token *t, const ERL_NIF_TERM *values)
{
    uint8_t      buffer[512];
    tsu_writer   etf;
    tsu_etf_node    node;
    ERL_NIF_TERM term = 0;
    unsigned     n = (unsigned)t->children - 1;

    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, TSU_ETF_VERSION);
    if (t->kind == TSU_EXPORT) {
        tsu_write_byte(&etf, TSU_ETF_EXPORT);
        put_atom_of(&etf, values[0]);
        put_atom_of(&etf, values[1]);
        tsu_write_byte(&etf, TSU_ETF_SMALL_INT);
        tsu_write_byte(&etf, t->bytes[0]);
    } else {
        if (!tsu_etf_local_node(env, &node)) goto done;
        tsu_write_byte(&etf, TSU_ETF_FUN);
        tsu_etf_put(&etf, 0, 4);                         /* size: set below */
        tsu_write_bytes(&etf, t->bytes, 17);
        tsu_etf_put(&etf, tsu_get32(t->bytes + 17), 4);
        tsu_etf_put(&etf, n, 4);
        put_atom_of(&etf, values[0]);
        tsu_write_byte(&etf, TSU_ETF_INT);
        tsu_etf_put(&etf, tsu_get32(t->bytes + 21), 4);
        tsu_write_byte(&etf, TSU_ETF_INT);
        tsu_etf_put(&etf, tsu_get32(t->bytes + 25), 4);
        tsu_write_byte(&etf, TSU_ETF_PID);              /* its creator: init, as OTP 27 has it for every fun */
        tsu_etf_put_atom(&etf, node.text, node.len);
        tsu_etf_put(&etf, 0, 8);
        tsu_etf_put(&etf, node.creation, 4);
        if (n > 0) {
            ErlNifBinary bin;
            if (!enif_term_to_binary(env, enif_make_tuple_from_array(env, values + 1, n), &bin)) goto done;
            tsu_write_bytes(&etf, bin.data + 3, bin.size - 3);      /* behind version, tag and arity */
            enif_release_binary(&bin);
        }
        if (etf.status != TSU_OK) goto done;
        for (unsigned i = 0; i < 4; i++) etf.bytes[2 + i] = (uint8_t)((etf.len - 2) >> (8 * (3 - i)));
    }
    term = tsu_etf_term(env, &etf);
done:
    tsu_writer_deinit(&etf);
    return term;
}

/* The term whose parts are all there; they leave the stack of values. */
static ERL_NIF_TERM part_close(decoder *d)
{
    part         *o = &d->parts[--d->part_count];
    ERL_NIF_TERM *v = d->values + o->base;
    ERL_NIF_TERM  term;

    switch (o->token.kind) {
    case TSU_TUPLE:
        term = enif_make_tuple_from_array(d->env, v, (unsigned)o->token.n);
        break;
    case TSU_LIST:
        if (!o->token.flag) {
            term = enif_make_list_from_array(d->env, v, (unsigned)o->token.n);
        } else {
            term = v[o->token.n];
            for (uint64_t i = o->token.n; i-- > 0;) term = enif_make_list_cell(d->env, v[i], term);
        }
        break;
    case TSU_MAP:
        if (!enif_make_map_from_arrays(d->env, v, v + o->token.n, (size_t)o->token.n, &term)) term = 0;
        break;
    default:
        term = make_fun(d->env, &o->token, v);
        break;
    }
    d->value_count = o->base;
    return term;
}

/* What most parts are, without a token. 0: it is something else, and *p is where it was. */
static inline ERL_NIF_TERM decode_quick(ErlNifEnv *env, const uint8_t **p, const uint8_t *end)
{
    const uint8_t *q = *p;
    unsigned       tag = *q, n;
    double         f;

    if (tag < TSU_TAG_INT) {
        *p = q + 1;
        return tsu_nif_int(env, (int64_t)tag - 16);
    }
    if (tag == TSU_TAG_ATOM4) {
        *p = q + 5;
        return tsu_nif_atom(tsu_get32(q + 1));
    }
    if (tag < TSU_TAG_BIGPOS) {
        n = tag - TSU_TAG_INT + 1;
        *p = q + 1 + n;
        /* a whole word is quicker than n bytes */
        if (TSU_LIKELY(end - q >= 9)) return tsu_nif_int(env, (int64_t)(tsu_get64(q + 1) << (64 - 8 * n)) >> (64 - 8 * n));
        return tsu_nif_int(env, tsu_int_bytes(q + 1, n));
    }
    if (tag >= TSU_TAG_BINARY0 && tag < TSU_TAG_TUPLE0) {
        ERL_NIF_TERM term = make_binary(env, q + 1, n = tag - TSU_TAG_BINARY0);
        if (term != 0) *p = q + 1 + n;
        return term;
    }
    if (tag == TSU_TAG_FLOAT) {
        memcpy(&f, q + 1, 8);
        *p = q + 9;
        return enif_make_double(env, f);
    }
    return 0;
}

/* A token that is a whole term. */
static ERL_NIF_TERM decode_single(decoder *d, const tsu_token *t)
{
    switch (t->kind) {
    case TSU_BIG:
        return make_big(d->env, t);
    case TSU_ATOM:
        return tsu_nif_atom(t->n);
    case TSU_NIL:
        return tsu_vm.nil;
    case TSU_BINARY:
        return make_binary(d->env, t->bytes, t->size);
    case TSU_BITSTRING:
        return make_bits(d->env, t);
    case TSU_BLOB:
        if (d->handles != NULL) d->handles += 8;
        return enif_make_resource_binary(d->env, (void *)(uintptr_t)t->n, (const void *)(uintptr_t)t->n, t->size);
    case TSU_STRING:
        return enif_make_string_len(d->env, (const char *)t->bytes, t->size, ERL_NIF_LATIN1);
    case TSU_PID: case TSU_PORT:
        return (ERL_NIF_TERM)t->n;
    case TSU_REF:
        return make_ref(d, t);
    case TSU_TUPLE:
        return enif_make_tuple_from_array(d->env, NULL, 0);
    case TSU_MAP:
        return enif_make_new_map(d->env);
    default:
        return make_remote(d->env, t);
    }
}

static void decoder_init(decoder *d, ErlNifEnv *env, const uint8_t *handles)
{
    d->env = env;
    d->handles = handles;
    d->values = d->few_values;
    d->value_count = 0;
    d->value_cap = sizeof d->few_values / sizeof d->few_values[0];
    d->parts = d->few_parts;
    d->part_count = 0;
    d->part_cap = sizeof d->few_parts / sizeof d->few_parts[0];
}

/* The last part that is open is given what follows: all that is quick, and one term that was made otherwise. */
static void part_fill(decoder *d, const uint8_t **p, const uint8_t *end, ERL_NIF_TERM term)
{
    part          *o = &d->parts[d->part_count - 1];
    ERL_NIF_TERM  *v = d->values + o->base;
    const uint8_t *q = *p;
    uint64_t       i = o->done, all = o->token.children, map = o->token.kind == TSU_MAP, n = o->token.n;

    do {
        v[(i >> map) + (n & (0 - (i & map)))] = term;
        i++;
    } while (i < all && (term = decode_quick(d->env, &q, end)) != 0);
    o->done = i;
    *p = q;
}

/* The rest of what is open, or one term if nothing is. Up to `end` bytes may be read, whatever they are. */
static ERL_NIF_TERM decode(decoder *d, const uint8_t **p, const uint8_t *end)
{
    ERL_NIF_TERM term;

    for (;;) {
        term = decode_quick(d->env, p, end);
        if (term == 0) {
            part *o = part_room(d);

            if (o == NULL) break;
            tsu_term_next_slow(p, &o->token);
            if (o->token.children > 0) {
                if (!part_open(d)) break;
                continue;
            }
            term = decode_single(d, &o->token);
        }
        while (d->part_count > 0 && term != 0) {
            part_fill(d, p, end, term);
            if (d->parts[d->part_count - 1].done < d->parts[d->part_count - 1].token.children) break;
            term = part_close(d);
        }
        if (d->part_count == 0 || term == 0) break;
    }
    if (d->values != d->few_values) tsu_env_free(d->values, d->value_cap * sizeof *d->values);
    if (d->parts != d->few_parts) tsu_env_free(d->parts, d->part_cap * sizeof *d->parts);
    return term;
}

static ERL_NIF_TERM decode_whole(ErlNifEnv *env, const uint8_t **p, const uint8_t *end)
{
    decoder d;

    decoder_init(&d, env, NULL);
    return decode(&d, p, end);
}

ERL_NIF_TERM tsu_nif_decode_term_slow(ErlNifEnv *env, const uint8_t **p)
{
    const uint8_t *q = *p;
    unsigned       arity = *q - TSU_TAG_TUPLE0, i;
    ERL_NIF_TERM   values[16], term;

    /* small tuples, as they are frequent as keys */
    if (arity - 1 < 15) {
        q++;
        for (i = 0; i < arity && (values[i] = decode_quick(env, &q, q)) != 0; i++) {}
        if (i == arity) {
            *p = q;
            return enif_make_tuple_from_array(env, values, arity);
        }
    } else if ((term = decode_quick(env, p, *p)) != 0) {
        return term;
    }
    return decode_whole(env, p, *p);
}

/* Is the term without parts at *p this one? Moves behind it if so. */
static bool leaf_is(ErlNifEnv *env, ERL_NIF_TERM term, const uint8_t **p)
{
    ErlNifBinary bin;
    double       f;
    tsu_token    t;

    if ((term & 3) == 3) return tsu_nif_word_get(p) == term;
    if (**p == TSU_TAG_FLOAT) {
        tsu_term_next(p, &t);
        return enif_get_double(env, term, &f) && memcmp(&f, &t.f, sizeof f) == 0;
    }
    if (**p != TSU_TAG_BINARY && (**p < TSU_TAG_BINARY0 || **p >= TSU_TAG_TUPLE0)) return false;
    tsu_term_next(p, &t);
    return enif_inspect_binary(env, term, &bin) && t.size == bin.size && memcmp(t.bytes, bin.data, bin.size) == 0;
}

bool tsu_nif_key_is_slow(ErlNifEnv *env, ERL_NIF_TERM term, const uint8_t *p)
{
    const ERL_NIF_TERM *elements;
    int                 arity, i;

    if (*p < TSU_TAG_TUPLE0 || *p >= TSU_TAG_TUPLE0 + 16) return leaf_is(env, term, &p);
    if (!enif_get_tuple(env, term, &arity, &elements) || arity != *p - TSU_TAG_TUPLE0) return false;
    p++;
    for (i = 0; i < arity && leaf_is(env, elements[i], &p); i++) {}
    return i == arity;
}

ERL_NIF_TERM tsu_nif_decode_object(ErlNifEnv *env, const uint8_t *obj)
{
    ERL_NIF_TERM   values[16];
    size_t         arity, count;
    const uint8_t *p = tsu_object_elements(obj, &arity), *end = obj + tsu_object_len(obj);
    decoder        d;

    if (TSU_LIKELY(arity <= 16 && !(obj[0] & TSU_OBJECT_HANDLES))) {
        for (size_t i = 0; i < arity; i++) {
            values[i] = decode_quick(env, &p, end);
            if (TSU_UNLIKELY(values[i] == 0)) values[i] = decode_whole(env, &p, end);
            if (TSU_UNLIKELY(values[i] == 0)) return 0;
        }
        return enif_make_tuple_from_array(env, values, (unsigned)arity);
    }
    decoder_init(&d, env, obj[0] & TSU_OBJECT_HANDLES ? tsu_object_handles(obj, &count) : NULL);
    memset(&d.parts[0].token, 0, sizeof d.parts[0].token);
    d.parts[0].token.kind = TSU_TUPLE;
    d.parts[0].token.n = d.parts[0].token.children = arity;
    if (!part_open(&d)) return 0;
    return decode(&d, &p, end);
}
