/* model.h: what a table is: an array in order of keys, each key's objects oldest first, searched from its
 * beginning to its end.
 */
#ifndef TSU_TESTING_MODEL_H
#define TSU_TESTING_MODEL_H

#include "engine.h"

#define MODEL_OBJECTS_MAX 192

typedef struct model_object {
    int32_t key, variant;
    int64_t value;
} model_object;

typedef struct model {
    tsu_table_type type;
    size_t         count;
    model_object   objects[MODEL_OBJECTS_MAX];
} model;

void model_init(model *m, tsu_table_type type);
bool model_equal(const model *a, const model *b);

/* Where the key's objects begin, or where they would; and how many they are. */
size_t model_find(const model *m, int32_t key, int32_t variant, size_t *count);
/* False: not inserted (a bag's double, or new_only and the key is there). */
bool model_insert(model *m, model_object o, bool new_only);
/* The number of objects that went. */
size_t model_delete(model *m, int32_t key, int32_t variant);
size_t model_delete_object(model *m, model_object o);
/* As one step; false: new_only and one of the keys was there. */
bool model_insert_list(model *m, const model_object *list, size_t count, bool new_only);

#endif
