/* The power of a card, in milliwatts. */
#include <unistd.h>

#include "stand_in.h"

#define IDLE_POWER_MW 21000 /* of an idle card in a server without a display */

static unsigned int power_limit(nvmlDevice_t card)
{
    char folder[TEXT];
    state_folder(card, folder);
    return read_number(folder, "power_limit_mw", card_number(card, "power_default_mw"));
}

static nvmlReturn_t set_power_limit(nvmlDevice_t card, unsigned int milliwatts)
{
    char folder[TEXT];
    if (geteuid() != 0)
        return NVML_ERROR_NO_PERMISSION;
    if (milliwatts < card_number(card, "power_minimum_mw")
        || milliwatts > card_number(card, "power_maximum_mw"))
        return NVML_ERROR_INVALID_ARGUMENT;
    if (fault("set_power_limit") != NVML_SUCCESS)
        return fault("set_power_limit");
    state_folder(card, folder);
    return write_number(folder, "power_limit_mw", milliwatts);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t card, unsigned int *milliwatts)
{
    unsigned int limit = power_limit(card);
    return give(milliwatts, limit < IDLE_POWER_MW ? limit : IDLE_POWER_MW);
}

nvmlReturn_t nvmlDeviceGetPowerManagementMode(nvmlDevice_t card, nvmlEnableState_t *mode)
{
    (void)card;
    *mode = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t card, unsigned int *milliwatts)
{
    return give(milliwatts, power_limit(card));
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t card, unsigned int *milliwatts)
{
    return give(milliwatts, power_limit(card));
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t card, unsigned int *milliwatts)
{
    return give(milliwatts, card_number(card, "power_default_mw"));
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(
    nvmlDevice_t card, unsigned int *minimum, unsigned int *maximum)
{
    *minimum = card_number(card, "power_minimum_mw");
    *maximum = card_number(card, "power_maximum_mw");
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t card, unsigned int milliwatts)
{
    return set_power_limit(card, milliwatts);
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit_v2(nvmlDevice_t card, nvmlPowerValue_v2_t *power)
{
    return set_power_limit(card, power->powerValueMw);
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t card, int count, nvmlFieldValue_t *values)
{
    for (int i = 0; i < count; i++) {
        nvmlFieldValue_t *value = &values[i];
        unsigned int milliwatts = 0;
        value->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
        value->nvmlReturn = NVML_SUCCESS;
        switch (value->fieldId) {
        case NVML_FI_DEV_POWER_AVERAGE:
        case NVML_FI_DEV_POWER_INSTANT:
            nvmlDeviceGetPowerUsage(card, &milliwatts);
            break;
        case NVML_FI_DEV_POWER_MIN_LIMIT:
            milliwatts = card_number(card, "power_minimum_mw");
            break;
        case NVML_FI_DEV_POWER_MAX_LIMIT:
            milliwatts = card_number(card, "power_maximum_mw");
            break;
        case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
            milliwatts = card_number(card, "power_default_mw");
            break;
        case NVML_FI_DEV_POWER_CURRENT_LIMIT:
        case NVML_FI_DEV_POWER_REQUESTED_LIMIT:
            milliwatts = power_limit(card);
            break;
        default:
            value->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
        }
        value->value.uiVal = milliwatts;
    }
    return NVML_SUCCESS;
}
